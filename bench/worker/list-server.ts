// An API server that has so many accounts, each with a pod that runs and a credential that is good: it answers lists, page by
// page, keeps watches open, knows one Lease, and says yes to who asks for his rights. Nothing is due, so nothing else is asked.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { json } from 'node:stream/consumers';
import { stringify } from 'yaml';
import { createCertificateAuthority } from '../../tools/certificates.ts';
import { recordManifest, statusManifest } from '../../src/core/pull-credential-record.ts';
import type { RegistryRule } from '../../src/core/registry-rule.ts';
import {
  accountManifest,
  namespaceManifest,
  needOf,
  podManifest,
  ruleFrom,
  TEST_AUDIENCE,
} from '../../test/fakes/builders.ts';
import { closerOf } from '../../tools/close-server.ts';

export interface ListServer extends AsyncDisposable {
  /** Files for `serve`. */
  readonly kubeconfig: string;
  readonly config: string;
}

const PER_NAMESPACE = 100;
const DAY_MS = 24 * 3_600_000;
const HOST = 'registry.team.example';
const RULE = { name: 'team', hosts: [HOST], audience: TEST_AUDIENCE, exchange: { kind: 'pass-through' } };

type Raw = Record<string, unknown>;

/** What a credential's life leaves in a cluster, as large as an ordinary one. */
function objectsFor(held: number): Record<string, Raw[]> {
  const rule: RegistryRule = ruleFrom(RULE);
  const now = Date.now();
  const [namespaces, accounts, records, pods]: [Raw[], Raw[], Raw[], Raw[]] = [[], [], [], []];
  let version = 1_000;
  const stored = <Kind extends { metadata: object }>(object: Kind, uid: string) => ({
    ...object,
    metadata: {
      ...object.metadata,
      uid,
      resourceVersion: String(++version),
      creationTimestamp: '2026-11-21T12:00:00Z',
    },
  });
  for (let nth = 0; nth < held; nth++) {
    const namespace = `team-${Math.floor(nth / PER_NAMESPACE)}`;
    if (nth % PER_NAMESPACE === 0) namespaces.push(stored(namespaceManifest(namespace), uidOf(1, nth)));
    const name = `account-${nth}`;
    const uid = uidOf(2, nth);
    const need = needOf({ namespace, name, uid }, rule);
    accounts.push(stored(accountManifest(namespace, name), uid));
    const record = recordManifest(need) as { metadata: object };
    const status = statusManifest({
      isReady: true,
      reason: 'issued',
      message: `credential for ${HOST} is good until 2026-11-22T12:00:00.000Z`,
      changedAt: now,
      issuedAt: now,
      expiresAt: now + DAY_MS,
      refreshAt: now + 0.65 * DAY_MS,
      digest: need.digest,
      tokenId: uidOf(3, nth),
      secretUid: uidOf(4, nth),
    });
    records.push({ ...stored(record, uidOf(5, nth)), status });
    const pod = podManifest(namespace, `shop-${nth}-7c9d8b6f5d-x2k4q`, {
      serviceAccount: name,
      images: [`${HOST}/shop/web:1.27.3`],
      imagePullSecrets: [need.secretName],
      gated: false,
      phase: 'Running',
      labels: { app: 'shop', 'pod-template-hash': '7c9d8b6f5d' },
      annotations: { 'keyless-pull.dev/credentials': `${need.rule}=${need.secretName}` },
      spec: { nodeName: `node-${nth % 50}` },
    });
    pods.push(stored(pod, uidOf(6, nth)));
  }
  return { namespaces, serviceaccounts: accounts, pullcredentials: records, pods };
}

/** As random uids, no two share a part. */
function uidOf(kind: number, nth: number): string {
  const digits = (kind * 1_000_003 + nth).toString(16).padStart(12, '0');
  return `${digits.slice(0, 8)}-${digits.slice(8)}-4a8e-9f60-${digits}`;
}

export async function startListServer(held: number): Promise<ListServer> {
  const objects = objectsFor(held);
  const authority = await createCertificateAuthority('keyless-pull bench');
  const { certificate, key } = await authority.issue(['127.0.0.1']);
  let lease: { metadata: { name: string; resourceVersion?: string } } | undefined;
  let written = 5_000_000;

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, searchParams: query } = new URL(request.url ?? '', 'https://api');
    const send = (status: number, body: unknown) => {
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(JSON.stringify(body));
    };
    if (pathname.includes('/leases')) {
      if (request.method === 'GET') return send(200, { metadata: {}, items: lease ? [lease] : [] });
      const body = (await json(request)) as NonNullable<typeof lease>;
      lease = { ...body, metadata: { ...body.metadata, resourceVersion: String(++written) } };
      return send(200, lease);
    }
    const plural = pathname.split('/').at(-1) ?? '';
    if (plural === 'selfsubjectaccessreviews') return send(201, { status: { allowed: true } });
    const items = objects[plural];
    if (request.method !== 'GET' || !items)
      return send(404, { kind: 'Status', code: 404, reason: 'NotFound' });
    if (query.get('watch') === 'true') {
      response.writeHead(200, { 'content-type': 'application/json' });
      return response.flushHeaders();
    }
    const isPending = query.get('fieldSelector') === 'status.phase=Pending';
    const found = isPending ? [] : items;
    const from = Number(query.get('continue') ?? 0);
    const to = from + Number(query.get('limit') ?? found.length);
    const metadata = { resourceVersion: '4000000', ...(to < found.length && { continue: String(to) }) };
    send(200, { metadata, items: found.slice(from, to) });
  }

  const server = createServer({ cert: certificate, key }, (request, response) => {
    void answer(request, response);
  });
  const close = closerOf(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const folder = mkdtempSync(join(tmpdir(), 'keyless-pull-bench-'));
  const write = (name: string, content: object) => {
    writeFileSync(join(folder, name), stringify(content), { mode: 0o600 });
    return join(folder, name);
  };
  return {
    kubeconfig: write('kubeconfig', {
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [
        {
          name: 'bench',
          cluster: {
            server: `https://127.0.0.1:${port}`,
            'certificate-authority-data': Buffer.from(authority.certificate).toString('base64'),
          },
        },
      ],
      users: [{ name: 'bench', user: { token: 'bench' } }],
      contexts: [{ name: 'bench', context: { cluster: 'bench', user: 'bench', namespace: 'keyless-pull' } }],
      'current-context': 'bench',
    }),
    config: write('config.yaml', {
      apiVersion: 'keyless-pull.dev/v1',
      kind: 'Config',
      fences: 'optional',
      rules: [RULE],
    }),
    async [Symbol.asyncDispose]() {
      await close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
