// The truth table of the policy on a real API server with the real webhook: who set a secret, in which mode, how it comes,
// and whether somebody has exempted it. Every answer is asserted word for word, and so is the API server's audit log.
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { secretNameFor } from '../../src/core/pull-secret.ts';
import { apiClient, type ApiAnswer, type ApiRequest } from '../../tools/api-client.ts';
import { applyManifests } from '../../tools/install.ts';
import { waitUntil } from '../../tools/processes.ts';
import { HOST, openArena, type Arena, type Program } from './arena.ts';

const modes = ['enforce', 'warn', 'audit', 'off', 'misspelt'] as const;
const operations = ['create', 'update', 'ephemeral'] as const;
const exemptions = ['none', 'exempt', 'ending', 'expired'] as const;
type Mode = (typeof modes)[number];
type Operation = (typeof operations)[number];
type Exemption = (typeof exemptions)[number];

/** Accounts as they are without an exemption, and what a pod of theirs names. */
const origins = {
  none: { account: 'plain', pod: () => [] },
  explicit: { account: 'plain', pod: () => ['nexus'] },
  inherited: { account: 'heir', pod: () => [] },
  both: { account: 'heir', pod: () => ['nexus', 'harbor'] },
  ours: { account: 'plain', pod: (account: string) => [ours(account)] },
  'foreign-managed': { account: 'plain', pod: () => [ours('other')] },
  'platform-made': { account: 'platform', pod: () => [] },
} satisfies Record<string, { account: string; pod: (account: string) => string[] }>;
type Origin = keyof typeof origins;

interface Row {
  readonly mode: Mode;
  readonly operation: Operation;
  readonly origin: Origin;
  readonly exemption: Exemption;
}

const rows = modes.flatMap((mode) =>
  operations.flatMap((operation) =>
    (Object.keys(origins) as Origin[]).flatMap((origin) =>
      exemptions.map((exemption): Row => ({ mode, operation, origin, exemption })),
    ),
  ),
);

const ours = (account: string) => secretNameFor(account, 'team', '', HOST);
const accountOf = ({ origin, exemption }: Pick<Row, 'origin' | 'exemption'>) =>
  `${origins[origin].account}-${exemption}`;
const dockercfg = (account: string) => `${account}-dockercfg-x7k2p`;
const dayFrom = (days: number) => new Date(Date.now() + days * 86_400_000).toISOString().slice(0, 10);
const days: Record<Exclude<Exemption, 'none'>, string> = {
  exempt: '2099-12-31',
  ending: dayFrom(3),
  expired: dayFrom(-1),
};

/** What the policy finds in a pod of the row: which secret, from where, and the sentence. */
function findingsIn(row: Row): { secret: string; from: string; what: string }[] {
  const account = accountOf(row);
  const explicit = (secret: string) => ({
    secret,
    from: 'explicit',
    what: `"${secret}" in spec.imagePullSecrets is a static pull secret, written in the pod: remove that line`,
  });
  const inherited = (secret: string) => ({
    secret,
    from: 'inherited',
    what: `"${secret}" is a static pull secret, inherited from ServiceAccount ${account}: remove it from the account's imagePullSecrets`,
  });
  switch (row.origin) {
    case 'none':
    case 'ours':
      return [];
    case 'explicit':
      return [explicit('nexus')];
    case 'inherited':
      return [inherited('nexus')];
    case 'both':
      return [inherited('nexus'), explicit('harbor')];
    case 'foreign-managed':
      return [
        {
          secret: ours('other'),
          from: 'explicit',
          what: `"${ours('other')}" in spec.imagePullSecrets is no credential of ServiceAccount ${account}, whatever its name says, written in the pod: remove that line`,
        },
      ];
    case 'platform-made':
      return [
        {
          secret: dockercfg(account),
          from: 'inherited',
          what: `"${dockercfg(account)}" is a static pull secret, inherited from ServiceAccount ${account}, where the platform would put it again: ask the cluster's administrators for an exemption of "${account}-dockercfg-*"`,
        },
      ];
  }
}

const CURE = `label the namespace keyless-pull.dev/inject=enabled and keyless-pull gives this pod its own credential for ${HOST}`;
/** To this the webhook cuts each warning. */
const LONGEST_WARNING = 256;

interface Outcome {
  readonly status: number;
  readonly message?: string;
  readonly warnings: readonly string[];
  readonly audit: Readonly<Record<string, string>>;
}

function expectedOf(row: Row): Outcome {
  const { mode, operation, exemption } = row;
  const findings = mode === 'off' ? [] : findingsIn(row);
  const done = operation === 'create' ? 201 : 200;
  const hook = mode === 'misspelt' ? 'default' : mode;
  const isExempt = exemption === 'exempt' || exemption === 'ending';
  const until = exemption === 'none' ? '' : days[exemption];
  const entries = findings.map(({ secret, from }) =>
    isExempt ? `${secret} until ${until}: ${exemption}` : `${secret} (${from})`,
  );
  const key = `${hook}.keyless-pull.dev/${isExempt ? 'exempt' : 'static-pull-secrets'}`;
  const audit = findings.length > 0 ? { [key]: entries.join(isExempt ? '; ' : ', ') } : {};
  const quiet = { status: done, warnings: [], audit };
  if (findings.length === 0 || mode === 'audit' || exemption === 'exempt') return quiet;
  if (exemption === 'ending') {
    const ends = findings.map(
      ({ secret }) => `the exemption of pull secret "${secret}" ends with ${until} (UTC)`,
    );
    return { ...quiet, warnings: ends };
  }
  const whats = findings.map(({ what }) => what);
  if (mode === 'enforce' && operation === 'create') {
    const hint = `(keyless-pull render -f <manifest> --config <config> shows what ${mode}/${nameOf(row)} gets)`;
    const said = `admission webhook "enforce.keyless-pull.dev" denied the request: ${whats.join('; ')}; ${CURE} ${hint}`;
    return { status: 403, message: said, warnings: [], audit };
  }
  return { ...quiet, warnings: [...whats, CURE].map(cut) };
}

function cut(text: string): string {
  return text.length <= LONGEST_WARNING ? text : `${text.slice(0, LONGEST_WARNING - 1)}…`;
}

let arena: Arena;
let webhook: Program;
let tenant: ApiRequest;

beforeAll(async () => {
  arena = await openArena({
    users: ['tenant'],
    policy: {
      exemptions: Object.entries(days).map(([reason, until]) => ({
        serviceAccount: `*-${reason}`,
        until,
        reason,
      })),
    },
  });
  webhook = await arena.start('webhook', 'webhook');
  const { controlPlane } = arena;
  tenant = apiClient(controlPlane, controlPlane.tokens['tenant'] ?? '');
  // Accounts first: where the mode is enforce they could not be given what some of them have.
  const named = (name: string, secrets: string[]) => ({
    apiVersion: 'v1',
    kind: 'ServiceAccount',
    metadata: { name },
    imagePullSecrets: secrets.map((secret) => ({ name: secret })),
  });
  const accounts = exemptions.flatMap((exemption) => [
    named(`plain-${exemption}`, []),
    named(`heir-${exemption}`, ['nexus']),
    named(`platform-${exemption}`, [dockercfg(`platform-${exemption}`)]),
  ]);
  await applyManifests(controlPlane, [
    ...modes.map((name) => ({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } })),
    ...modes.flatMap((namespace) =>
      accounts.map((account) => ({ ...account, metadata: { ...account.metadata, namespace } })),
    ),
    ...rightsOf('tenant'),
  ]);
  await Promise.all(
    rows
      .filter(({ operation }) => operation === 'update')
      .map(async (row) => {
        const answer = await controlPlane.admin('POST', podsOf(row), podOf(row, nameOf(row)));
        expect(answer.status, JSON.stringify(answer.body)).toBe(201);
      }),
  );
  // In the order of the labels: when the last one is in force, so are the others.
  for (const mode of modes.toReversed()) {
    const value = mode === 'misspelt' ? 'enforced' : mode;
    const labels = { 'keyless-pull.dev/static-pull-secrets': value };
    await controlPlane.admin('PATCH', `/api/v1/namespaces/${mode}`, { metadata: { labels } });
  }
  const probe: Row = { mode: 'enforce', operation: 'create', origin: 'explicit', exemption: 'none' };
  await waitUntil('the policy is in force', async () => (await send(probe, 'probe')).status === 403, {
    deadlineMs: 60_000,
  });
});

afterAll(() => arena?.[Symbol.asyncDispose]());

/** The path has a mark of the row, by which the audit log is searched. */
function send(row: Row, mark: string): Promise<ApiAnswer<{ message?: string }>> {
  const query = `?dryRun=All&fieldManager=${mark}`;
  const contentType = 'application/strategic-merge-patch+json';
  switch (row.operation) {
    case 'create':
      return tenant('POST', `${podsOf(row)}${query}`, podOf(row, nameOf(row)));
    case 'update': {
      const containers = [{ name: 'app', image: `${HOST}/app:2` }];
      return tenant(
        'PATCH',
        `${podsOf(row)}/${nameOf(row)}${query}`,
        { spec: { containers } },
        { contentType },
      );
    }
    case 'ephemeral': {
      const ephemeralContainers = [{ name: 'debug', image: `${HOST}/debug:1` }];
      const path = `${podsOf(row)}/${nameOf({ ...row, operation: 'update' })}/ephemeralcontainers${query}`;
      return tenant('PATCH', path, { spec: { ephemeralContainers } }, { contentType });
    }
  }
}

const podsOf = ({ mode }: Row) => `/api/v1/namespaces/${mode}/pods`;
const nameOf = ({ origin, operation, exemption }: Row) => `${origin}-${operation}-${exemption}`;

function podOf(row: Row, name: string) {
  const serviceAccountName = accountOf(row);
  const imagePullSecrets = origins[row.origin].pod(serviceAccountName).map((secret) => ({ name: secret }));
  const containers = [{ name: 'app', image: `${HOST}/app:1` }];
  return {
    metadata: { name },
    spec: { serviceAccountName, containers, ...(imagePullSecrets.length > 0 && { imagePullSecrets }) },
  };
}

function rightsOf(user: string) {
  const group = 'rbac.authorization.k8s.io';
  const resources = ['pods', 'pods/ephemeralcontainers', 'serviceaccounts'];
  return [
    {
      apiVersion: `${group}/v1`,
      kind: 'ClusterRole',
      metadata: { name: user },
      rules: [{ apiGroups: [''], resources, verbs: ['*'] }],
    },
    {
      apiVersion: `${group}/v1`,
      kind: 'ClusterRoleBinding',
      metadata: { name: user },
      roleRef: { apiGroup: group, kind: 'ClusterRole', name: user },
      subjects: [{ kind: 'User', apiGroup: group, name: user }],
    },
  ];
}

describe.each(modes)('in a namespace whose mode is %s', (mode) => {
  describe.each(operations)('a pod by %s', (operation) => {
    const table = rows.filter((row) => row.mode === mode && row.operation === operation);

    test.each(table)('whose secret is $origin, exemption $exemption', async (row) => {
      const { status, message, warnings } = expectedOf(row);

      const answer = await send(row, markOf(row));

      expect({
        status: answer.status,
        message: answer.body.message,
        warnings: answer.warnings,
      }).toEqual({ status, message, warnings });
    });
  });
});

const markOf = (row: Row) => `row-${rows.indexOf(row)}`;

test('all of that stands in the audit log, and nothing else of ours', async () => {
  const expected = new Map(rows.map((row) => [markOf(row), expectedOf(row).audit]));
  await waitUntil('the log is written', async () => auditedRows().size === rows.length, {
    deadlineMs: 60_000,
  });

  const audited = auditedRows();

  expect(rows.length).toBeGreaterThanOrEqual(100);
  for (const row of rows)
    expect(audited.get(markOf(row)), JSON.stringify(row)).toEqual(expected.get(markOf(row)));
});

test('all of that is counted, and the next exemption to end is announced by a metric', async () => {
  const expected = new Map<string, number>();
  for (const row of rows) {
    if (row.mode === 'off') continue;
    const mode = row.mode === 'misspelt' ? 'warn' : row.mode;
    const isExempt = row.exemption === 'exempt' || row.exemption === 'ending';
    for (const { from } of findingsIn(row)) {
      const labels = `mode="${mode}",namespace="${row.mode}",origin="${from}",exempt="${isExempt}"`;
      expected.set(labels, (expected.get(labels) ?? 0) + 1);
    }
  }

  const text = await webhook.metrics();

  const counted = new Map(
    [...text.matchAll(/^keyless_pull_findings_total\{(.*)\} (\d+)$/gm)].map(([, labels = '', count]) => [
      labels,
      Number(count),
    ]),
  );
  const probed = 'mode="enforce",namespace="enforce",origin="explicit",exempt="false"';
  expect(counted.get(probed)).toBeGreaterThan(expected.get(probed) ?? 0);
  expect(new Map(counted).set(probed, 0)).toEqual(new Map(expected).set(probed, 0));
  const daysLeft = Number(/^keyless_pull_exemption_days_left (.*)$/m.exec(text)?.[1]);
  expect(daysLeft).toBeGreaterThan(2);
  expect(daysLeft).toBeLessThanOrEqual(4);
});

/** Our annotations of each request that has a row's mark. */
function auditedRows(): Map<string, Record<string, string>> {
  const found = new Map<string, Record<string, string>>();
  const lines = readFileSync(arena.controlPlane.auditLog ?? '', 'utf8')
    .split('\n')
    .slice(0, -1);
  for (const line of lines) {
    const { requestURI, annotations = {} } = JSON.parse(line) as {
      requestURI: string;
      annotations?: Record<string, string>;
    };
    const mark = /fieldManager=(row-\d+)/.exec(requestURI)?.[1];
    if (!mark) continue;
    const isOurs = ([key]: [string, string]) => key.includes('.keyless-pull.dev/');
    found.set(mark, Object.fromEntries(Object.entries(annotations).filter(isOurs)));
  }
  return found;
}
