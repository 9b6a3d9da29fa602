// The bench: a line number beside a row takes the editor there.
document.addEventListener("click", (e) => {
  const to = e.target.closest("[data-line]");
  if (!to) return;
  const editor = document.querySelector('hub-editor[language="yaml"]');
  if (!editor?.view) return;
  editor.goto(Number(to.dataset.line));
  editor.view.focus();
});
