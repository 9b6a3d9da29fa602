// What every page of the console loads: htmx, keys, live parts, small behaviours. Nothing of it is needed to
// read a page or to send a form.
import htmx from "htmx.org";

htmx.config.includeIndicatorStyles = false; // styles are in hub.css; the policy of the page allows no other
htmx.config.allowEval = false;
htmx.config.allowScriptTags = false;
htmx.config.selfRequestsOnly = true;
htmx.config.historyCacheSize = 0; // a page with patient data must not stay in the browser's storage
htmx.config.refreshOnHistoryMiss = true;
htmx.config.scrollBehavior = "auto";
htmx.config.responseHandling = [{ code: "204", swap: false }, { code: "...", swap: true }];
window.htmx = htmx;

const token = () => document.querySelector('meta[name="csrf"]')?.content ?? "";
document.addEventListener("htmx:configRequest", (e) => { e.detail.headers["X-CSRF-Token"] = token(); });
document.addEventListener("htmx:sendError", () => say("The hub does not answer."));
document.addEventListener("htmx:beforeRequest", (e) => e.target.closest("[aria-live]")?.setAttribute("aria-busy", "true"));
document.addEventListener("htmx:afterRequest", (e) => e.target.closest("[aria-live]")?.removeAttribute("aria-busy"));

function say(text) {
  const place = document.getElementById("notices");
  if (!place) return;
  const p = document.createElement("p");
  p.className = "notice";
  p.textContent = text;
  place.replaceChildren(p);
}

// -- live parts: <div data-live="/now/events"> gets HTML of ours by server-sent events ----------------------------
function live(root) {
  for (const place of root.querySelectorAll("[data-live]")) {
    if (place.dataset.on) continue;
    place.dataset.on = "1";
    let source;
    const open = () => {
      source = new EventSource(place.dataset.live);
      source.addEventListener("part", (e) => {
        const focus = document.activeElement;
        const inside = focus && place.contains(focus) ? focus.id || focus.getAttribute("href") : null;
        const selected = getSelection();
        if (selected && !selected.isCollapsed && place.contains(selected.anchorNode)) return;
        const fresh = new DOMParser().parseFromString(e.data, "text/html").body;
        place.replaceChildren(...fresh.childNodes);
        htmx.process(place);
        reachable();
        if (inside) (document.getElementById(inside) ?? place.querySelector(`[href="${CSS.escape(inside)}"]`))?.focus();
        lost(false);
      });
      source.addEventListener("end", () => { source.close(); location.reload(); });
      source.onerror = () => lost(true);
    };
    open();
    // a page in the background asks for nothing
    document.addEventListener("visibilitychange", () => { if (document.hidden) source.close(); else open(); });
  }
}
function lost(yes) {
  const sign = document.getElementById("lost");
  if (sign) sign.hidden = !yes;
}

// -- keys ---------------------------------------------------------------------------------------------------------
let pending = "";
const typing = (e) => e.target.closest("input, textarea, select, [contenteditable], hub-editor, .cm-editor");
document.addEventListener("keydown", (e) => {
  if (e.ctrlKey || e.metaKey || e.altKey || typing(e)) {
    if (e.key === "Escape" && typing(e)) e.target.blur?.();
    return;
  }
  if (pending === "g") {
    pending = "";
    const link = document.querySelector(`nav [data-key="${CSS.escape(e.key)}"]`);
    if (link) { e.preventDefault(); link.click(); }
    return;
  }
  if (e.key === "g") { pending = "g"; setTimeout(() => { pending = ""; }, 1200); return; }
  if (e.key === "/") { e.preventDefault(); document.getElementById("find-box")?.focus(); return; }
  if (e.key === "?") { document.getElementById("keys")?.showModal(); return; }
  if (e.key === "j" || e.key === "k") { if (move(e.key === "j" ? 1 : -1)) e.preventDefault(); return; }
  if (e.key === "Enter" || e.key.length === 1) {
    const row = document.querySelector("[data-rows] .chosen");
    const wanted = e.key === "Enter" ? "Enter" : e.key;
    const target = row?.querySelector(`[data-press="${CSS.escape(wanted)}"]`)
      ?? document.querySelector(`main [data-press="${CSS.escape(wanted)}"]`)
      ?? (wanted === "Enter" && document.activeElement === document.body ? row?.querySelector("a[href]") : null);
    if (target && target.offsetParent !== null) { e.preventDefault(); target.click(); }
  }
});
function move(step) {
  const list = document.querySelector("[data-rows]");
  if (!list) return false;
  const rows = [...list.querySelectorAll("[data-row]")];
  if (!rows.length) return false;
  const at = rows.findIndex((r) => r.classList.contains("chosen"));
  const next = rows[Math.min(rows.length - 1, Math.max(0, at < 0 ? 0 : at + step))];
  rows[at]?.classList.remove("chosen");
  next.classList.add("chosen");
  (next.querySelector("a[href], button, input") ?? next).focus({ preventScroll: true });
  next.scrollIntoView({ block: "nearest" });
  return true;
}

// -- small behaviours ---------------------------------------------------------------------------------------------
document.addEventListener("click", (e) => {
  const opener = e.target.closest("[data-open]");
  if (opener) { e.preventDefault(); document.getElementById(opener.dataset.open)?.showModal(); }
  const closer = e.target.closest("[data-close]");
  if (closer) { e.preventDefault(); closer.closest("dialog")?.close(); }
  const copier = e.target.closest("[data-copy]");
  if (copier) { navigator.clipboard?.writeText(copier.dataset.copy).then(() => say("Copied.")); }
  const theme = e.target.closest("[data-theme-next]");
  if (theme) {
    const now = document.documentElement.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
    const next = now === "dark" ? "light" : "dark";
    document.documentElement.dataset.theme = next;
    document.cookie = `hub-theme=${next}; path=/; max-age=31536000; samesite=lax`;
  }
});
document.addEventListener("submit", (e) => { // a double click sends a form once
  const form = e.target;
  if (form.method !== "post" || form.hasAttribute("hx-post")) return;
  if (form.dataset.sent) { e.preventDefault(); return; }
  form.dataset.sent = "1";
  setTimeout(() => delete form.dataset.sent, 8000);
});
document.addEventListener("change", (e) => { if (e.target.matches("[data-submit]")) e.target.form?.requestSubmit(); });
addEventListener("pageshow", (e) => { if (e.persisted) location.reload(); }); // not from the browser's memory after sign-out

// -- the session ends: say so before, and leave nothing on the screen after ------------------------------------------
const idle = Number(document.querySelector('meta[name="idle-minutes"]')?.content ?? 0) * 60_000;
if (idle) {
  let last = Date.now(), told = Date.now();
  const stir = () => {
    last = Date.now();
    if (last - told > idle / 3) { told = last; fetch("/session/stir", { method: "POST", headers: { "X-CSRF-Token": token() } }); }
  };
  for (const name of ["pointerdown", "keydown", "scroll"]) addEventListener(name, stir, { passive: true });
  setInterval(() => {
    const left = idle - (Date.now() - last);
    if (left <= 0) location.assign("/signin?ended=1");
    else if (left < 60_000) say("You will be signed out in a minute. Press any key to stay.");
  }, 5_000);
}

// what scrolls can be scrolled by keys
let scrolling = 0;
function reachable() {
  for (const one of document.querySelectorAll(".wide, pre")) {
    const scrolls = one.scrollWidth > one.clientWidth || one.scrollHeight > one.clientHeight;
    if (scrolls) {
      one.tabIndex = 0;
      one.setAttribute("role", "region");
      const name = one.querySelector("caption")?.textContent ?? one.closest("section")?.querySelector("h2, h3")?.textContent ?? "what does not fit";
      if (!one.hasAttribute("aria-label")) one.setAttribute("aria-label", `${name.trim()} (scrolls, ${++scrolling})`);
    } else if (one.getAttribute("role") === "region") {
      one.removeAttribute("tabindex");
      one.removeAttribute("role");
    }
  }
}
addEventListener("resize", reachable);
document.addEventListener("htmx:load", reachable);
reachable();

document.addEventListener("htmx:load", (e) => live(e.target.parentElement ?? document));
live(document);
