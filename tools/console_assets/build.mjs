// Bundles every src/*.js into engine/console/static, each with the licences of what is in it.
// `node build.mjs --check` builds and compares: CI fails where a bundle is not what its sources give.
import { build } from "esbuild";
import { mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const target = join(here, "../../engine/console/static");
const check = process.argv.includes("--check");
const out = check ? mkdtempSync(join(tmpdir(), "assets-")) : target;
const entries = readdirSync(join(here, "src")).filter((name) => name.endsWith(".js"));

const result = await build({
  entryPoints: entries.map((name) => join(here, "src", name)),
  outdir: out, bundle: true, minify: true, format: "esm", target: "es2022", charset: "utf8",
  legalComments: "none", metafile: true, absWorkingDir: here, loader: { ".css": "text" },
});

const packages = new Set();
for (const path of Object.keys(result.metafile.inputs)) {
  const found = path.match(/node_modules\/((?:@[^/]+\/)?[^/]+)\//);
  if (found) packages.add(found[1]);
}
let text = "What is bundled into the files beside this one, and under which licence.\n";
for (const name of [...packages].sort()) {
  const folder = join(here, "node_modules", name);
  const about = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  const licence = readdirSync(folder).find((n) => /^licen[cs]e/i.test(n));
  text += `\n== ${name} ${about.version} (${about.license}) ==\n`;
  text += licence ? readFileSync(join(folder, licence), "utf8").trim() + "\n" : "";
}
writeFileSync(join(out, "LICENCES.txt"), text);

if (check) {
  let differs = false;
  for (const name of [...entries, "LICENCES.txt"]) {
    let now = "";
    try { now = readFileSync(join(target, name), "utf8"); } catch { /* not built yet: it differs */ }
    if (readFileSync(join(out, name), "utf8") !== now) { console.error(`${name} is not what its sources give: npm run build`); differs = true; }
  }
  process.exit(differs ? 1 : 0);
}
for (const [path, about] of Object.entries(result.metafile.outputs)) console.log(path, about.bytes);
