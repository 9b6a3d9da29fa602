// Asks a real YAML language server, over its standard protocol, what it completes and what it complains of.
// In (stdin): {schemas: {uri: schema}, text, positions: [{line, character}]}. Out: {diagnostics, completions}.
import { spawn } from "node:child_process";
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const server = spawn(process.execPath, [require.resolve("yaml-language-server/bin/yaml-language-server"), "--stdio"], {
  stdio: ["pipe", "pipe", "inherit"],
});
const waiting = new Map();
const uri = "file:///project/mappings/map.yaml";
let next = 1, buffer = Buffer.alloc(0), told;
const diagnostics = new Promise((resolve) => (told = resolve));

function send(message) {
  const body = Buffer.from(JSON.stringify({ jsonrpc: "2.0", ...message }));
  server.stdin.write(`Content-Length: ${body.length}\r\n\r\n`);
  server.stdin.write(body);
}
const ask = (method, params) =>
  new Promise((resolve) => { waiting.set(next, resolve); send({ id: next++, method, params }); });

let input = "";
for await (const chunk of process.stdin) input += chunk;
const job = JSON.parse(input);

server.stdout.on("data", (chunk) => {
  buffer = Buffer.concat([buffer, chunk]);
  for (;;) {
    const end = buffer.indexOf("\r\n\r\n");
    if (end < 0) return;
    const length = Number(/Content-Length: (\d+)/i.exec(buffer.subarray(0, end).toString())[1]);
    if (buffer.length < end + 4 + length) return;
    const message = JSON.parse(buffer.subarray(end + 4, end + 4 + length));
    buffer = buffer.subarray(end + 4 + length);
    if (message.method === "textDocument/publishDiagnostics") told(message.params.diagnostics);
    else if (message.method === "workspace/configuration")
      send({ id: message.id, result: message.params.items.map((i) => (i.section === "yaml" ? settings : {})) });
    else if (message.method && message.id !== undefined) send({ id: message.id, result: null });
    else if (waiting.has(message.id)) waiting.get(message.id)(message.result);
  }
});
const settings = { validate: true, completion: true, schemaStore: { enable: false },
  schemas: Object.fromEntries(Object.keys(job.schemas).map((s) => [s, "/*"])) };

await ask("initialize", { processId: process.pid, rootUri: null,
  capabilities: { textDocument: { completion: {}, publishDiagnostics: {} }, workspace: { configuration: true } } });
send({ method: "initialized", params: {} });
send({ method: "workspace/didChangeConfiguration", params: { settings: { yaml: settings } } });
send({ method: "textDocument/didOpen", params: { textDocument: { uri, languageId: "yaml", version: 1, text: job.text } } });
const found = await diagnostics;
const completions = [];
for (const position of job.positions) {
  const answer = await ask("textDocument/completion", { textDocument: { uri }, position });
  completions.push((answer.items ?? answer).map((i) => ({ label: i.label, about: i.documentation?.value ?? i.documentation ?? "" })));
}
process.stdout.write(JSON.stringify({ diagnostics: found.map((d) => d.message), completions }));
server.kill();
