// Delivery by the node itself: the kubelet runs our plugin with a token of the pod's account. And the move there and back.
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseAllDocuments, stringify } from 'yaml';
import { applyManifests, type Manifest } from '../../tools/install.ts';
import { waitUntil } from '../../tools/processes.ts';
import { inNamespace, makeApp, onThisNode, openNodeArena, type NodeArena } from './node-arena.ts';
import { makeProviderFolder, runCli, type ProviderFolder } from './provider-folder.ts';

let e2e: NodeArena;
let providers: ProviderFolder;

const both = { delivery: ['secret', 'kubelet'] };

beforeAll(async () => {
  e2e = await openNodeArena({
    rules: { team: { delivery: ['kubelet'] } },
    node: ({ folder, team, other }) => {
      const rules = [
        {
          name: 'team',
          hosts: [team.host],
          audience: team.audience,
          exchange: { kind: 'pass-through' },
          ...both,
        },
        {
          name: 'other',
          hosts: [other.host],
          audience: other.audience,
          exchange: { kind: 'pass-through' },
          ...both,
        },
      ];
      providers = makeProviderFolder(
        folder,
        stringify({ apiVersion: 'keyless-pull.dev/v1', kind: 'Config', rules }),
      );
      return { credentialProviders: { config: providers.generate('yaml'), programs: providers.programs } };
    },
  });
});

afterAll(() => e2e?.[Symbol.asyncDispose]());

/** The kubelet's record of who pulled `image`: uids of Secrets and of accounts. */
function pulledBy(image: string): { secrets: string[]; accounts: string[] } {
  interface Record {
    readonly credentialMapping?: Readonly<
      globalThis.Record<
        string,
        {
          readonly kubernetesSecrets?: readonly { readonly uid: string }[];
          readonly kubernetesServiceAccounts?: readonly { readonly uid: string }[];
        }
      >
    >;
  }
  const folder = e2e.node.pulledRecordsFolder;
  const name = image.slice(0, image.lastIndexOf(':'));
  const mapping = readdirSync(folder)
    .map((file): Record => JSON.parse(readFileSync(join(folder, file), 'utf8')))
    .map(({ credentialMapping = {} }) => credentialMapping[name])
    .find((found) => found !== undefined);
  return {
    secrets: (mapping?.kubernetesSecrets ?? []).map(({ uid }) => uid).toSorted(),
    accounts: (mapping?.kubernetesServiceAccounts ?? []).map(({ uid }) => uid).toSorted(),
  };
}

async function accountUid(namespace: string, name: string): Promise<string> {
  const { must } = inNamespace(e2e, namespace);
  const account = await must<{ metadata: { uid: string } }>(
    'GET',
    `/api/v1/namespaces/${namespace}/serviceaccounts/${name}`,
  );
  return account.metadata.uid;
}

const TOKEN_VOLUME = 'keyless-pull-tokens';

/** Of a pod as it was stored: what carries its credential. */
function deliveryOf(pod: {
  spec: {
    imagePullSecrets?: readonly { name: string }[];
    volumes?: readonly { name: string }[];
    schedulingGates?: readonly { name: string }[];
  };
}) {
  const { imagePullSecrets = [], volumes = [], schedulingGates = [] } = pod.spec;
  return {
    secrets: imagePullSecrets.length,
    volume: volumes.some(({ name }) => name === TOKEN_VOLUME),
    gates: schedulingGates.length,
  };
}

describe('delivery kubelet', () => {
  test('a pod with our volume runs, pulled through the plugin: no Secret, no gate, and no right in RBAC', async () => {
    await e2e.arena.addNamespace('plugged');
    const team = inNamespace(e2e, 'plugged');
    await team.createAccount('web');
    const image = await e2e.team.push('plugged', await makeApp('plugged'));

    const stored = await team.createPod('web', onThisNode('web', { containers: [{ name: 'app', image }] }));
    await team.waitForPhase('Running', ['web']);

    expect(deliveryOf(stored)).toEqual({ secrets: 0, volume: true, gates: 0 });
    expect(providers.ran()).toContain('keyless-pull-team');
    expect(await team.pullTrouble()).toEqual([]);
    const secrets = await team.must<{ items: unknown[] }>('GET', '/api/v1/namespaces/plugged/secrets');
    expect(secrets.items).toEqual([]);
    expect(pulledBy(image)).toEqual({ secrets: [], accounts: [await accountUid('plugged', 'web')] });
  });

  test('the same pod without the volume is refused, and the plugin is never run for it', async () => {
    const { controlPlane } = e2e;
    await controlPlane.admin('POST', '/api/v1/namespaces', { metadata: { name: 'bare' } });
    const bare = inNamespace(e2e, 'bare');
    await bare.createAccount('web');
    const image = await e2e.team.push('bare', await makeApp('bare'));
    const ran = providers.ran().length;

    const stored = await bare.createPod('web', onThisNode('web', { containers: [{ name: 'app', image }] }));
    await waitUntil(
      'its pull has failed',
      async () => (await bare.events()).some(({ note }) => note === 'Error: ErrImagePull'),
      { deadlineMs: 60_000, everyMs: 200 },
    );

    expect(deliveryOf(stored)).toEqual({ secrets: 0, volume: false, gates: 0 });
    expect((await bare.pullTrouble()).join('\n')).toContain('401 Unauthorized');
    expect(providers.ran()).toHaveLength(ran);
    expect(readFileSync(e2e.node.kubeletLog, 'utf8')).toContain(
      `audience \\"${e2e.team.audience}\\" not found in pod spec volume, system:node:node-a is not authorized`,
    );
    await bare.must('DELETE', '/api/v1/namespaces/bare/pods/web');
  });

  test('without the volume it runs where nodes have the right that generate rbac writes, and no longer than that', async () => {
    const { controlPlane, team } = e2e;
    const rule = {
      name: 'team',
      hosts: [team.host],
      audience: team.audience,
      exchange: { kind: 'pass-through' },
      delivery: ['kubelet'],
      token: { inject: 'none' },
      audienceRights: 'rbac',
    };
    const file = join(e2e.folder, 'rbac-config.yaml');
    writeFileSync(file, stringify({ apiVersion: 'keyless-pull.dev/v1', kind: 'Config', rules: [rule] }));
    const { status, stdout } = runCli(['generate', 'rbac', '--config', file]);
    const written = parseAllDocuments(stdout).map((document) => document.toJSON() as Manifest);
    await controlPlane.admin('POST', '/api/v1/namespaces', { metadata: { name: 'granted' } });
    const granted = inNamespace(e2e, 'granted');
    await granted.createAccount('web');
    const image = await team.push('granted', await makeApp('granted'));
    const ran = providers.ran().length;
    const mayAsk = async () => {
      const { body } = await controlPlane.admin<{ status: { allowed: boolean } }>(
        'POST',
        '/apis/authorization.k8s.io/v1/subjectaccessreviews',
        {
          spec: {
            user: 'system:node:node-a',
            groups: ['system:nodes'],
            resourceAttributes: {
              verb: 'request-serviceaccounts-token-audience',
              resource: team.audience,
              namespace: 'granted',
              name: 'web',
            },
          },
        },
      );
      return body.status.allowed;
    };
    const before = await mayAsk();

    await applyManifests(controlPlane, written);
    await waitUntil('nodes may ask for the audience', mayAsk, { deadlineMs: 20_000 });
    const stored = await granted.createPod(
      'web',
      onThisNode('web', { containers: [{ name: 'app', image }] }),
    );
    await granted.waitForPhase('Running', ['web']);

    expect({ status, before }).toEqual({ status: 0, before: false });
    expect(deliveryOf(stored)).toEqual({ secrets: 0, volume: false, gates: 0 });
    expect(providers.ran().slice(ran)).toEqual(['keyless-pull-team']);
    expect(await granted.pullTrouble()).toEqual([]);
    for (const { kind, metadata } of written)
      await granted.must(
        'DELETE',
        `/apis/rbac.authorization.k8s.io/v1/${kind.toLowerCase()}s/${metadata.name}`,
      );
    await waitUntil('nodes may no longer ask', async () => !(await mayAsk()), { deadlineMs: 20_000 });
  });

  test('an account that was deleted and made again pulls again, under its new uid', async () => {
    const team = inNamespace(e2e, 'plugged');
    const image = `${e2e.team.host}/apps/plugged:1`;
    const old = await accountUid('plugged', 'web');
    const runPod = async (name: string) => {
      await team.createPod(name, onThisNode('web', { containers: [{ name: 'app', image }] }));
      await team.waitForPhase('Running', [name]);
    };
    const asked = e2e.team.requests('plugged');
    await runPod('same-uid');
    expect(e2e.team.requests('plugged')).toBe(asked);

    await team.must('DELETE', '/api/v1/namespaces/plugged/serviceaccounts/web');
    await team.createAccount('web');
    await runPod('new-uid');

    expect(e2e.team.requests('plugged')).toBeGreaterThan(asked);
    const now = await accountUid('plugged', 'web');
    expect(now).not.toBe(old);
    expect(pulledBy(image)).toEqual({ secrets: [], accounts: [old, now].toSorted() });
    expect(await team.pullTrouble()).toEqual([]);
  });
});

describe('the move of one rule', () => {
  const NAMESPACE = 'moving';
  const seen: { step: string; asked: boolean; secrets: number; accounts: number }[] = [];
  let image: string;

  beforeAll(async () => {
    e2e.configure({ team: { delivery: ['kubelet'] }, other: { delivery: ['secret'] } });
    await e2e.arena.addNamespace(NAMESPACE);
    await inNamespace(e2e, NAMESPACE).createAccount('web');
    image = await e2e.other.push('moving', await makeApp('moving'));
  });

  const steps = [
    { step: 'secret', delivery: ['secret'], stored: { secrets: 1, volume: false } },
    { step: 'there: both', delivery: ['secret', 'kubelet'], stored: { secrets: 1, volume: true } },
    { step: 'kubelet', delivery: ['kubelet'], stored: { secrets: 0, volume: true } },
    { step: 'back: both', delivery: ['secret', 'kubelet'], stored: { secrets: 1, volume: true } },
    { step: 'back: secret', delivery: ['secret'], stored: { secrets: 1, volume: false } },
  ];

  test.for(steps)('$step: pods start, and no pull fails', async ({ step, delivery, stored }) => {
    const team = inNamespace(e2e, NAMESPACE);
    e2e.configure({ team: { delivery: ['kubelet'] }, other: { delivery } });
    const name = step.replace(': ', '-');
    const podOf = (policy: string) =>
      onThisNode('web', { containers: [{ name: 'app', image, imagePullPolicy: policy }] });
    await waitUntil(
      'the config is taken',
      async () => {
        const pod = { metadata: { name: 'asked' }, spec: podOf('IfNotPresent') };
        const path = `/api/v1/namespaces/${NAMESPACE}/pods?dryRun=All`;
        const { secrets, volume } = deliveryOf(await team.must('POST', path, pod));
        return secrets === stored.secrets && volume === stored.volume;
      },
      { deadlineMs: 30_000, everyMs: 500 },
    );
    const asked = e2e.other.requests('moving');

    await team.createPod(name, podOf('IfNotPresent'));
    await team.waitForPhase('Running', [name]);
    const pulled = e2e.other.requests('moving') > asked;
    await team.createPod(`${name}-always`, podOf('Always'));
    await team.waitForPhase('Running', [`${name}-always`]);

    const { secrets, accounts } = pulledBy(image);
    seen.push({ step, asked: pulled, secrets: secrets.length, accounts: accounts.length });
    expect(await team.pullTrouble()).toEqual([]);
  });

  test('cost one more question to the registry, for a present image, where the credential was of a new kind', () => {
    console.log(seen.map((each) => JSON.stringify(each)).join('\n'));
    expect(seen).toEqual([
      { step: 'secret', asked: true, secrets: 1, accounts: 0 },
      { step: 'there: both', asked: false, secrets: 1, accounts: 0 },
      { step: 'kubelet', asked: true, secrets: 1, accounts: 1 },
      { step: 'back: both', asked: false, secrets: 1, accounts: 1 },
      { step: 'back: secret', asked: false, secrets: 1, accounts: 1 },
    ]);
  });
});

test('no token of any kind is in a log, an event, or what the plugin said', async () => {
  const texts = e2e.logs();
  for (const namespace of ['plugged', 'bare', 'moving'])
    texts[`events in ${namespace}`] = JSON.stringify(await inNamespace(e2e, namespace).events());
  const token = /eyJ[\w-]{10,}\.eyJ[\w-]{20,}\.[\w-]{20,}/;
  const password = (
    await e2e.controlPlane.admin<{ status: { token: string } }>(
      'POST',
      '/api/v1/namespaces/plugged/serviceaccounts/web/token',
      {
        apiVersion: 'authentication.k8s.io/v1',
        kind: 'TokenRequest',
        spec: { audiences: [e2e.team.audience] },
      },
    )
  ).body.status.token;

  expect(password).toMatch(token);
  expect(
    Object.entries(texts)
      .filter(([, text]) => token.test(text))
      .map(([name]) => name),
  ).toEqual([]);
});
