// Keeps the figures of the status page fresh: fetches the page again and puts its <main> in the place of this one.
const every = 4000;
const lost = document.getElementById("lost");

async function refresh() {
  if (!document.hidden) {
    try {
      const answer = await fetch("/status", { headers: { accept: "text/html" } });
      if (!answer.ok) throw new Error(String(answer.status));
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("live");
      const live = document.getElementById("live");
      const selected = getSelection();
      const busy = selected && !selected.isCollapsed && live.contains(selected.anchorNode);
      if (fresh && !busy && fresh.innerHTML !== live.innerHTML) live.replaceChildren(...fresh.childNodes);
      lost.hidden = true;
    } catch {
      lost.hidden = false;
    }
  }
  setTimeout(refresh, every);
}

setTimeout(refresh, every);
