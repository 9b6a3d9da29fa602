// <hub-chart>: the numbers of the <table> inside it as lines; the table stays for those who do not see the picture.
// First column: time in ms (data-value) or number; further columns: one line each, named by their <th>.
import uPlot from "uplot";
import css from "uplot/dist/uPlot.min.css";

class Chart extends HTMLElement {
  connectedCallback() {
    if (this.plot) return;
    const table = this.querySelector("table");
    const names = [...table.querySelectorAll("thead th")].map((th) => th.textContent.trim());
    const rows = [...table.querySelectorAll("tbody tr")].map((tr) => [...tr.children].map((td) => {
      const value = td.dataset.value ?? td.textContent.trim();
      return value === "" ? null : Number(value);
    }));
    if (!rows.length) return;
    const data = names.map((_, i) => rows.map((row) => (i === 0 ? row[0] / 1000 : row[i])));
    const root = this.attachShadow({ mode: "open" });
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(`${css} :host { display: block } .u-legend { font-size: .8rem; color: var(--quiet) } .table { margin-top: .25rem }`);
    root.adoptedStyleSheets = [sheet];
    const place = document.createElement("div");
    place.setAttribute("aria-hidden", "true");
    const more = document.createElement("details");
    more.innerHTML = "<summary>As a table</summary><slot></slot>";
    root.append(place, more);
    const style = getComputedStyle(this);
    const colour = (name) => style.getPropertyValue(name).trim();
    const lines = ["--accent", "--look", "--code-value", "--bad", "--ok"];
    const axis = { stroke: colour("--quiet"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line") }, font: "12px system-ui" };
    const size = () => ({ width: Math.max(200, this.clientWidth), height: Number(this.getAttribute("height") ?? 160) });
    this.plot = new uPlot({
      ...size(), cursor: { y: false }, axes: [axis, { ...axis, size: 56 }], scales: { x: { time: this.getAttribute("x") !== "number" } },
      series: [{}, ...names.slice(1).map((label, i) => ({ label, stroke: colour(lines[i % lines.length]), width: 1.5, points: { show: false } }))],
    }, data, place);
    this.watch = new ResizeObserver(() => this.plot.setSize(size()));
    this.watch.observe(this);
  }
  disconnectedCallback() { this.watch?.disconnect(); this.plot?.destroy(); this.plot = null; }
}

customElements.define("hub-chart", Chart);
