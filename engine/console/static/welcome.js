// The code of a link stands behind #, which no browser sends: put it into the form and out of the address.
const form = document.querySelector("[data-welcome]");
const code = decodeURIComponent(location.hash.slice(1));
if (form && code) {
  history.replaceState(null, "", location.pathname);
  form.elements.code.value = code;
  form.requestSubmit();
}
