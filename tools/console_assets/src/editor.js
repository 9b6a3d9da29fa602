// <hub-editor name language complete lint readonly>: CodeMirror 6 around a <textarea>, which stays what the form sends.
// <hub-diff>: two <textarea>s side by side. Both are in a shadow root, so that their styles need no leave of the page's policy.
import { autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { json } from "@codemirror/lang-json";
import { xml } from "@codemirror/lang-xml";
import { yaml } from "@codemirror/lang-yaml";
import { HighlightStyle, StreamLanguage, bracketMatching, foldGutter, foldKeymap, indentOnInput, syntaxHighlighting } from "@codemirror/language";
import { lintGutter, lintKeymap, linter } from "@codemirror/lint";
import { MergeView } from "@codemirror/merge";
import { highlightSelectionMatches, search, searchKeymap } from "@codemirror/search";
import { EditorState } from "@codemirror/state";
import { EditorView, drawSelection, highlightActiveLine, highlightActiveLineGutter, highlightSpecialChars, keymap, lineNumbers } from "@codemirror/view";
import { tags as t } from "@lezer/highlight";

// HL7 v2: the segment's name, then separators by their level (HL7 v2.5.1 §2.5.3).
const hl7 = StreamLanguage.define({
  token(stream) {
    if (stream.sol() && stream.match(/^[A-Z][A-Z0-9]{2}(?=[|\r\n]|$)/)) return "keyword";
    const c = stream.next();
    if (c === "|") return "separator";
    if ("^~&".includes(c)) return "operator";
    if (c === "\\") { stream.match(/^[A-Z0-9.]+\\/); return "escape"; }
    stream.eatWhile(/[^|^~&\\]/);
    return null;
  },
});
const languages = { json, xml, yaml, hl7: () => hl7, text: () => [] };

const colours = HighlightStyle.define([
  { tag: [t.keyword, t.propertyName, t.definition(t.propertyName), t.tagName], color: "var(--code-name)" },
  { tag: [t.string, t.special(t.string)], color: "var(--code-text)" },
  { tag: [t.number, t.bool, t.null, t.atom], color: "var(--code-value)" },
  { tag: [t.comment], color: "var(--quiet)" },
  { tag: [t.separator, t.punctuation, t.operator], color: "var(--quiet)" },
  { tag: [t.escape], color: "var(--look)" },
]);
const look = EditorView.theme({
  "&": { color: "var(--ink)", backgroundColor: "var(--card)", fontSize: ".8125rem", border: "1px solid var(--line)", borderRadius: ".5rem", maxHeight: "100%" },
  "&.cm-focused": { outline: "2px solid var(--accent)", outlineOffset: "1px" },
  ".cm-scroller": { fontFamily: "var(--mono)", lineHeight: "1.55" },
  ".cm-gutters": { backgroundColor: "var(--paper)", color: "var(--quiet)", border: "0" },
  ".cm-activeLine, .cm-activeLineGutter": { backgroundColor: "color-mix(in srgb, var(--accent) 7%, transparent)" },
  ".cm-cursor": { borderLeftColor: "var(--ink)" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": { backgroundColor: "color-mix(in srgb, var(--accent) 25%, transparent)" },
  ".cm-tooltip": { backgroundColor: "var(--card)", color: "var(--ink)", border: "1px solid var(--line)", borderRadius: ".4rem", maxWidth: "34rem" },
  ".cm-tooltip-autocomplete ul li[aria-selected]": { backgroundColor: "var(--accent)", color: "var(--on-accent)" },
  ".cm-completionDetail": { fontStyle: "normal", color: "inherit", opacity: ".75" },
  ".cm-collapsedLines": { background: "var(--paper)", color: "var(--quiet)" },
  ".cm-collapsedLines:before, .cm-collapsedLines:after": { content: "'…'" }, // the package's own sign is in few fonts
  ".cm-panels": { backgroundColor: "var(--paper)", color: "var(--ink)" },
  // the marks of findings are pictures in data: addresses, which the page's policy does not load
  ".cm-lint-marker": { width: "1em", height: "1em", lineHeight: "1" },
  ".cm-lint-marker-error": { content: "'!'", color: "var(--bad)", fontWeight: "700", textAlign: "center" },
  ".cm-lint-marker-warning": { content: "'?'", color: "var(--look)", fontWeight: "700", textAlign: "center" },
  ".cm-lint-marker-info": { content: "'i'", color: "var(--quiet)", textAlign: "center" },
  ".cm-lintRange": { backgroundImage: "none !important", textDecoration: "underline wavy var(--look)", textUnderlineOffset: ".2em" },
  ".cm-lintRange-error": { textDecorationColor: "var(--bad)" },
  ".cm-diagnostic": { whiteSpace: "pre-wrap" },
});

const token = () => document.querySelector('meta[name="csrf"]')?.content ?? "";
async function ask(url, fields) {
  const answer = await fetch(url, { method: "POST", headers: { "X-CSRF-Token": token(), Accept: "application/json" }, body: new URLSearchParams(fields) });
  return answer.ok ? answer.json() : null;
}

class Editor extends HTMLElement {
  connectedCallback() {
    if (this.view) return;
    const area = this.querySelector("textarea");
    const root = this.attachShadow({ mode: "open" });
    area.hidden = true;
    const slot = document.createElement("div");
    slot.style.height = "100%";
    root.append(slot);
    const readOnly = this.hasAttribute("readonly");
    const path = () => ({ path: this.getAttribute("path") ?? "", context: this.getAttribute("context") ?? "" });
    const extensions = [
      lineNumbers(), highlightSpecialChars(), history(), foldGutter(), drawSelection(), indentOnInput(), bracketMatching(), closeBrackets(),
      highlightActiveLine(), highlightActiveLineGutter(), highlightSelectionMatches(), search({ top: true }), syntaxHighlighting(colours), look,
      keymap.of([...closeBracketsKeymap, ...defaultKeymap, ...searchKeymap, ...historyKeymap, ...foldKeymap, ...completionKeymap, ...lintKeymap]),
      (languages[this.getAttribute("language")] ?? languages.text)(),
      EditorState.readOnly.of(readOnly), EditorView.editable.of(!readOnly || true),
      EditorView.contentAttributes.of({ tabindex: "0", "aria-label": this.getAttribute("label") ?? area.labels?.[0]?.textContent ?? "text" }),
      EditorView.updateListener.of((u) => {
        if (!u.docChanged) return;
        area.value = u.state.doc.toString();
        clearTimeout(this.wait);
        this.wait = setTimeout(() => area.dispatchEvent(new Event("edited", { bubbles: true })), 350);
      }),
    ];
    if (this.hasAttribute("wrap")) extensions.push(EditorView.lineWrapping);
    if (this.getAttribute("complete")) extensions.push(autocompletion({ override: [(context) => this.complete(context, path())], activateOnTyping: true }));
    else extensions.push(autocompletion());
    if (this.getAttribute("lint")) extensions.push(lintGutter(), linter((view) => this.lint(view, path()), { delay: 400 }));
    this.view = new EditorView({ state: EditorState.create({ doc: area.value, extensions }), parent: slot, root });
    const line = Number(this.getAttribute("line"));
    if (line) this.goto(line);
  }
  disconnectedCallback() { this.view?.destroy(); this.view = null; }
  get value() { return this.view ? this.view.state.doc.toString() : this.querySelector("textarea").value; }
  set value(text) { this.view?.dispatch({ changes: { from: 0, to: this.view.state.doc.length, insert: text } }); }
  goto(line) {
    const doc = this.view.state.doc;
    const at = doc.line(Math.min(Math.max(1, line), doc.lines)).from;
    this.view.dispatch({ selection: { anchor: at }, effects: EditorView.scrollIntoView(at, { y: "center" }) });
  }
  async complete(context, path) {
    const word = context.matchBefore(/[^\s:,[\]{}"']*/);
    if (!context.explicit && (!word || word.from === word.to)) return null;
    const line = context.state.doc.lineAt(context.pos);
    const found = await ask(this.getAttribute("complete"), { ...path, text: context.state.doc.toString(), line: line.number, column: context.pos - line.from });
    if (!found?.options?.length) return null;
    return { from: found.from === undefined ? word.from : line.from + found.from, options: found.options, validFor: /^[^\s:,[\]{}"']*$/ };
  }
  async lint(view, path) {
    const found = await ask(this.getAttribute("lint"), { ...path, text: view.state.doc.toString() });
    const doc = view.state.doc;
    return (found?.findings ?? []).map((f) => {
      const line = doc.line(Math.min(Math.max(1, f.line || 1), doc.lines));
      const from = Math.min(line.from + Math.max(0, (f.column || 1) - 1), line.to);
      return { from, to: line.to, severity: f.severity === "warning" ? "warning" : "error", message: f.text + (f.remedy ? `\n${f.remedy}` : "") };
    });
  }
}

class Diff extends HTMLElement {
  connectedCallback() {
    if (this.view) return;
    const [before, after] = this.querySelectorAll("textarea");
    const root = this.attachShadow({ mode: "open" });
    before.hidden = after.hidden = true;
    const slot = document.createElement("div");
    root.append(slot);
    const extensions = (name) => [
      lineNumbers(), syntaxHighlighting(colours), look, keymap.of([...defaultKeymap, ...searchKeymap]), search({ top: true }), EditorState.readOnly.of(true),
      (languages[this.getAttribute("language")] ?? languages.text)(), EditorView.contentAttributes.of({ tabindex: "0", "aria-label": name }), EditorView.lineWrapping,
    ];
    this.view = new MergeView({
      a: { doc: before.value, extensions: extensions("before") }, b: { doc: after.value, extensions: extensions("after") },
      parent: slot, root, collapseUnchanged: { margin: 3, minSize: 6 }, gutter: true,
    });
  }
  disconnectedCallback() { this.view?.destroy(); this.view = null; }
}

customElements.define("hub-editor", Editor);
customElements.define("hub-diff", Diff);
