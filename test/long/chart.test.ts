// The chart with real helm on a real API server: every way to set it is accepted there, and by default it is webhook-config/.
import { cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { parseConfig } from '../../src/config.ts';
import { startControlPlane, type ControlPlane } from '../../tools/control-plane.ts';
import { openHelm, type Helm } from '../../tools/helm.ts';
import { applyManifests, OWN_NAMESPACE, readManifests, type Manifest } from '../../tools/install.ts';
import { runKubectl } from '../../tools/kubectl.ts';

const CHART = fileURLToPath(new URL('../../charts/keyless-pull', import.meta.url));
const MANIFESTS = fileURLToPath(new URL('../../webhook-config', import.meta.url));
const FIRST_INSTALL = fileURLToPath(new URL('../../examples/first-install/values.yaml', import.meta.url));

const RULE = {
  name: 'team-registry',
  hosts: ['registry.team.example'],
  audience: 'https://registry.team.example',
  exchange: { kind: 'pass-through' },
};
const config = { rules: [RULE] };
const PEM = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n';

let controlPlane: ControlPlane;
let helm: Helm;

beforeAll(async () => {
  controlPlane = await startControlPlane({ controllers: false });
  helm = await openHelm(controlPlane.folder, controlPlane.kubeconfig);
  await applyManifests(controlPlane, [
    ...[OWN_NAMESPACE, 'pulls', '2024', '7', 'shop', 'billing'].flatMap((name) => [
      { apiVersion: 'v1', kind: 'Namespace', metadata: { name } },
      // Without controllers nobody else makes it, and the pod of `helm test` runs as it.
      { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'default', namespace: name } },
    ]),
    standIn('cert-manager.io', 'v1', 'Certificate'),
    standIn('cert-manager.io', 'v1', 'Issuer'),
    standIn('monitoring.coreos.com', 'v1', 'ServiceMonitor'),
    standIn('monitoring.coreos.com', 'v1', 'PrometheusRule'),
  ]);
  await vi.waitUntil(
    async () =>
      (await runKubectl(controlPlane, ['get', 'certificates,issuers,servicemonitors,prometheusrules', '-A']))
        .code === 0,
    { timeout: 30_000, interval: 200 },
  );
});
afterAll(() => controlPlane?.stop());

/** A custom resource of somebody else's, as far as the chart makes objects of it. */
function standIn(group: string, version: string, kind: string): object {
  const plural = `${kind.toLowerCase()}s`;
  const schema = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.${group}` },
    spec: {
      group,
      scope: 'Namespaced',
      names: { kind, plural, singular: kind.toLowerCase() },
      versions: [{ name: version, served: true, storage: true, schema: { openAPIV3Schema: schema } }],
    },
  };
}

function fileOfChart(path: string): string {
  return readFileSync(join(CHART, path), 'utf8');
}

function valuesFile(values: unknown): string {
  const path = join(controlPlane.folder, 'values.yaml');
  // JSON is YAML; what YAML 1.2 writes bare, Helm reads as YAML 1.1: off is false there.
  writeFileSync(path, JSON.stringify(values));
  return path;
}

function template(values: unknown, namespace = OWN_NAMESPACE, release = 'keyless-pull') {
  return helm('template', release, CHART, '--namespace', namespace, '-f', valuesFile(values));
}

async function render(values: unknown, namespace?: string, release?: string): Promise<Manifest[]> {
  const { code, stdout, stderr } = await template(values, namespace, release);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  const documents = parseAllDocuments(stdout);
  // Helm takes a key that is there twice; kustomize and Flux do not.
  expect(documents.flatMap(({ errors }) => errors)).toEqual([]);
  return documents
    .map((document): Manifest | null => document.toJS())
    .filter((manifest) => manifest !== null);
}

type Objects = ReturnType<typeof lookedUp>;

function lookedUp(manifests: readonly Manifest[]) {
  const of = (kind: string) => manifests.filter((manifest) => manifest.kind === kind);
  const find = (kind: string, name: string) => of(kind).find(({ metadata }) => metadata.name === name);
  return {
    names: (kind: string) => of(kind).map(({ metadata }) => metadata.name),
    find,
    text: (kind: string, name: string) => JSON.stringify(find(kind, name) ?? `no ${kind} ${name}`),
    unlabelled: (label: string) =>
      manifests
        .filter(({ metadata }) => metadata.labels?.[label] === undefined)
        .map(({ kind, metadata }) => `${kind} ${metadata.name}`),
    all: JSON.stringify(manifests),
  };
}

interface Way {
  readonly values: object;
  readonly namespace?: string;
  readonly release?: string;
  readonly shows: (objects: Objects) => void;
}

const ways: Readonly<Record<string, Way>> = {
  'nothing but a rule': {
    values: { config },
    shows({ text, names }) {
      expect(names('Deployment')).toEqual(['keyless-pull']);
      expect(text('Deployment', 'keyless-pull')).not.toContain('"--tls-secret"');
      expect(text('Role', 'keyless-pull-worker')).toContain('"keyless-pull-tls"');
    },
  },
  'another namespace and release': {
    values: { config },
    namespace: 'pulls',
    release: 'other',
    shows({ all, text }) {
      expect(all).not.toMatch(
        /"namespace":"keyless-pull"|serviceaccount:keyless-pull|namespace != 'keyless-pull'/,
      );
      expect(text('ValidatingAdmissionPolicy', 'keyless-pull-worker-secrets')).toContain(
        'system:serviceaccount:pulls:keyless-pull',
      );
    },
  },
  'a namespace and a release whose names YAML takes for numbers': {
    values: {
      config,
      roles: 'split',
      priorityClassName: '7',
      extraCertificateAuthority: { configMap: '7' },
      tls: { mode: 'secret', secretName: '7' },
      rbac: { perNamespace: true, namespaces: ['7'] },
    },
    namespace: '2024',
    release: '7',
    shows({ find }) {
      expect(find('Deployment', 'keyless-pull-worker')).toMatchObject({
        metadata: { namespace: '2024', labels: { 'app.kubernetes.io/instance': '7' } },
      });
    },
  },
  'one label in several places': {
    values: {
      config,
      labels: {
        release: 'everything',
        'app.kubernetes.io/name': 'not-ours',
        'app.kubernetes.io/component': 'not-ours',
      },
      roles: 'split',
      webhooks: { labels: { release: 'webhooks' } },
      serviceMonitor: { enabled: true, labels: { release: 'prometheus' } },
      prometheusRule: { enabled: true, labels: { release: 'prometheus' } },
      dashboard: { enabled: true, labels: { release: 'grafana' } },
    },
    shows({ find, all }) {
      const labelOf = (kind: string, name = 'keyless-pull') => find(kind, name)?.metadata.labels?.['release'];
      expect(labelOf('Service')).toBe('everything');
      expect(labelOf('MutatingWebhookConfiguration')).toBe('webhooks');
      expect(labelOf('ServiceMonitor')).toBe('prometheus');
      expect(labelOf('PrometheusRule')).toBe('prometheus');
      expect(labelOf('ConfigMap', 'keyless-pull-dashboard')).toBe('grafana');
      // What a ServiceMonitor finds us by is not to be had for others.
      expect(find('Service', 'keyless-pull')).toMatchObject({
        metadata: { labels: { 'app.kubernetes.io/name': 'keyless-pull' } },
      });
      expect(find('Deployment', 'keyless-pull-worker')).toMatchObject({
        metadata: { labels: { 'app.kubernetes.io/component': 'worker' } },
      });
      expect(all).not.toContain('"app.kubernetes.io/name":"not-ours"');
    },
  },
  'values that were emptied': {
    values: {
      config,
      priorityClassName: null,
      labels: null,
      podLabels: null,
      excludedNamespaces: null,
      webhooks: { annotations: null, labels: null },
      serviceMonitor: { enabled: true, labels: null },
    },
    shows({ names, text }) {
      expect(names('ResourceQuota')).toEqual([]);
      expect(text('Deployment', 'keyless-pull')).not.toContain('priorityClassName');
    },
  },
  'roles apart': {
    values: { config, roles: 'split', replicas: 3, workerResources: { limits: { memory: '1Gi' } } },
    shows({ names, text, find }) {
      expect(names('Deployment')).toEqual(['keyless-pull-webhook', 'keyless-pull-worker']);
      expect(names('PodDisruptionBudget')).toEqual(['keyless-pull-webhook', 'keyless-pull-worker']);
      expect(names('ServiceAccount')).toEqual(['keyless-pull', 'keyless-pull-webhook']);
      expect(find('ClusterRoleBinding', 'keyless-pull-webhook')).toMatchObject({
        subjects: [{ name: 'keyless-pull-webhook' }],
      });
      expect(find('ClusterRoleBinding', 'keyless-pull-worker')).toMatchObject({
        subjects: [{ name: 'keyless-pull' }],
      });
      expect(find('Service', 'keyless-pull')).toMatchObject({
        spec: { selector: { 'app.kubernetes.io/component': 'webhook' } },
      });
      expect(text('Deployment', 'keyless-pull-worker')).toContain('"memory":"1Gi"');
      expect(text('Deployment', 'keyless-pull-worker')).not.toContain('"https"');
    },
  },
  'rights per namespace, and evictions': {
    values: {
      config: { ...config, worker: { heal: 'evict' } },
      rbac: { perNamespace: true, namespaces: ['shop', 'billing', 'shop'] },
    },
    shows({ all, text, names }) {
      expect(text('ClusterRole', 'keyless-pull-worker')).not.toContain('secrets');
      expect(text('ClusterRole', 'keyless-pull-worker-namespaced')).toContain('secrets');
      expect(
        all.match(/"name":"keyless-pull-(worker|evictions)","namespace":"(shop|billing)"/g),
      ).toHaveLength(4);
      expect(names('ClusterRoleBinding')).toEqual(['keyless-pull-webhook', 'keyless-pull-worker']);
    },
  },
  'evictions everywhere': {
    values: { config: { ...config, worker: { heal: 'evict' } } },
    shows({ names }) {
      expect(names('ClusterRoleBinding')).toContain('keyless-pull-evictions');
    },
  },
  'cert-manager with an authority of our own': {
    values: { config, tls: { mode: 'cert-manager' } },
    shows({ names, text, find }) {
      expect(names('Issuer')).toEqual(['keyless-pull-self-signed', 'keyless-pull']);
      expect(find('Certificate', 'keyless-pull-tls')).toMatchObject({
        spec: { dnsNames: ['keyless-pull.keyless-pull.svc'], issuerRef: { name: 'keyless-pull' } },
      });
      expect(text('Deployment', 'keyless-pull')).toContain(
        '"--tls-secret","keyless-pull-tls","--ca-bundle","leave"',
      );
      expect(names('Secret')).toEqual([]);
      expect(text('Role', 'keyless-pull-worker')).not.toContain('secrets');
      expect(text('ClusterRole', 'keyless-pull-worker')).not.toContain('webhookconfigurations');
      for (const kind of ['MutatingWebhookConfiguration', 'ValidatingWebhookConfiguration'])
        expect(text(kind, 'keyless-pull')).toContain(
          '"cert-manager.io/inject-ca-from":"keyless-pull/keyless-pull-tls"',
        );
    },
  },
  'cert-manager with an issuer of yours': {
    values: {
      config,
      tls: { mode: 'cert-manager', certManager: { issuerRef: { kind: 'ClusterIssuer', name: 'team' } } },
    },
    shows({ names, find }) {
      expect(names('Issuer')).toEqual([]);
      expect(find('Certificate', 'keyless-pull-tls')).toMatchObject({
        spec: { issuerRef: { name: 'team' } },
      });
    },
  },
  'a certificate of yours': {
    values: { config, tls: { mode: 'secret', secretName: 'team-tls', caBundle: PEM } },
    shows({ all, text }) {
      expect(text('Deployment', 'keyless-pull')).toContain('"--tls-secret","team-tls","--ca-bundle","leave"');
      expect(text('Role', 'keyless-pull-webhook')).toContain('"resourceNames":["team-tls"]');
      const bundles = [...all.matchAll(/"caBundle":"([^"]*)"/g)].map(([, bundle = '']) => bundle);
      expect(bundles.map((bundle) => Buffer.from(bundle, 'base64').toString())).toEqual(
        Array.from({ length: 10 }, () => PEM),
      );
    },
  },
  'other failure policies, timeouts and namespaces left alone': {
    values: {
      config,
      webhooks: {
        mutate: { failurePolicy: 'Ignore', timeoutSeconds: 3 },
        default: { timeoutSeconds: 2 },
        accountsAndWorkloads: { timeoutSeconds: 1 },
        labels: { 'admissions.enforcer/disabled': 'true' },
      },
      excludedNamespaces: ['gatekeeper-system'],
    },
    shows({ all, find, text }) {
      expect(find('MutatingWebhookConfiguration', 'keyless-pull')).toMatchObject({
        metadata: { labels: { 'admissions.enforcer/disabled': 'true' } },
        webhooks: [{ failurePolicy: 'Ignore', timeoutSeconds: 3 }],
      });
      expect(all.match(/"kube-node-lease","keyless-pull","gatekeeper-system"/g)).toHaveLength(10);
      expect(
        text('ValidatingWebhookConfiguration', 'keyless-pull').match(/"timeoutSeconds":1\b/g),
      ).toHaveLength(5);
    },
  },
  'another default mode of the policy': {
    values: { config: { ...config, policy: { defaultMode: 'enforce' } } },
    shows({ find }) {
      const { webhooks } = find('ValidatingWebhookConfiguration', 'keyless-pull') as unknown as {
        webhooks: Hook[];
      };
      for (const name of ['default', 'accounts-and-workloads-default']) {
        const hook = webhooks.find((each) => each.name === `${name}.keyless-pull.dev`);
        expect(hook?.clientConfig.service.path).toBe('/validate/enforce');
        expect(hook?.namespaceSelector.matchExpressions.map(({ operator }) => operator)).toEqual([
          'NotIn',
          'NotIn',
        ]);
      }
      expect(JSON.stringify(webhooks.find(({ name }) => name === 'default.keyless-pull.dev'))).toContain(
        'not-break-glass',
      );
    },
  },
  'a proxy, authorities, images from elsewhere': {
    values: {
      config,
      proxy: { httpsProxy: 'http://proxy.team.example:3128', noProxy: '.svc,10.0.0.0/8' },
      extraCertificateAuthority: { configMap: 'team-ca', key: 'bundle.pem' },
      image: { repository: 'mirror.team.example/keyless-pull', digest: `sha256:${'a'.repeat(64)}` },
      imagePullSecrets: [{ name: 'mirror' }],
    },
    shows({ text }) {
      const deployment = text('Deployment', 'keyless-pull');
      expect(deployment).toContain(`"image":"mirror.team.example/keyless-pull@sha256:${'a'.repeat(64)}"`);
      expect(deployment).toContain('"imagePullSecrets":[{"name":"mirror"}]');
      expect(deployment).toContain('{"name":"HTTPS_PROXY","value":"http://proxy.team.example:3128"}');
      expect(deployment).toContain('{"name":"NO_PROXY","value":".svc,10.0.0.0/8"}');
      expect(deployment).toContain('"value":"/etc/keyless-pull-authorities/bundle.pem"');
      expect(deployment).toContain('"configMap":{"name":"team-ca"}');
    },
  },
  monitoring: {
    values: {
      config,
      serviceMonitor: { enabled: true, labels: { release: 'prometheus' } },
      prometheusRule: { enabled: true },
      dashboard: { enabled: true, annotations: { folder: 'Platform' } },
    },
    shows({ find }) {
      expect(find('ServiceMonitor', 'keyless-pull')).toMatchObject({
        metadata: { labels: { release: 'prometheus' } },
      });
      expect(find('PrometheusRule', 'keyless-pull')?.['spec']).toEqual(
        parse(fileOfChart('files/alerts.yaml')),
      );
      const { data } = find('ConfigMap', 'keyless-pull-dashboard') as unknown as {
        data: Record<string, string>;
      };
      expect(JSON.parse(data['keyless-pull.json'] ?? '')).toEqual(
        JSON.parse(fileOfChart('files/dashboard.json')),
      );
    },
  },
  'a closed network': {
    values: {
      config,
      networkPolicy: {
        metricsFrom: [
          { namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'monitoring' } } },
        ],
        egress: [{ ports: [{ port: 443 }, { port: 53, protocol: 'UDP' }] }],
      },
    },
    shows({ find }) {
      expect(find('NetworkPolicy', 'keyless-pull')).toMatchObject({
        spec: { policyTypes: ['Ingress', 'Egress'], egress: [{ ports: [{ port: 443 }, { port: 53 }] }] },
      });
    },
  },
  "the host's network": {
    values: { config, hostNetwork: true, ports: { https: 10_443, metrics: 10_090 }, priorityClassName: '' },
    shows({ text, names }) {
      expect(text('Deployment', 'keyless-pull')).toContain('"--port","10443","--metrics-port","10090"');
      expect(text('Deployment', 'keyless-pull')).toContain('"dnsPolicy":"ClusterFirstWithHostNet"');
      expect(names('ResourceQuota')).toEqual([]);
    },
  },
  'everything that is added to pods': {
    values: {
      config,
      labels: { team: 'platform' },
      podLabels: { tier: 'system' },
      podAnnotations: { note: 'x' },
      serviceAccountAnnotations: { owner: 'platform' },
      extraArgs: ['--host', '0.0.0.0'],
      extraEnv: [{ name: 'TZ', value: 'UTC' }],
      extraVolumes: [{ name: 'authority', configMap: { name: 'registry-ca' } }],
      extraVolumeMounts: [{ name: 'authority', mountPath: '/etc/registry-ca' }],
      nodeSelector: { 'kubernetes.io/os': 'linux' },
      tolerations: [{ operator: 'Exists' }],
      affinity: { nodeAffinity: {} },
      strategy: { rollingUpdate: { maxUnavailable: 1 } },
      logLevel: 'debug',
      securityContext: { readOnlyRootFilesystem: false },
      podSecurityContext: { runAsUser: null, runAsGroup: null, fsGroup: null },
      topologySpreadConstraints: [
        { maxSkew: 2, topologyKey: 'topology.kubernetes.io/zone', whenUnsatisfiable: 'DoNotSchedule' },
        {
          maxSkew: 1,
          topologyKey: 'kubernetes.io/hostname',
          whenUnsatisfiable: 'DoNotSchedule',
          labelSelector: { matchLabels: { tier: 'system' } },
        },
      ],
    },
    shows({ find, text, unlabelled }) {
      expect(unlabelled('team')).toEqual([]);
      expect(find('Deployment', 'keyless-pull')).toMatchObject({
        metadata: { labels: { team: 'platform' } },
        spec: {
          template: {
            metadata: { labels: { tier: 'system' }, annotations: { note: 'x' } },
            spec: {
              securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
              topologySpreadConstraints: [
                { maxSkew: 2, labelSelector: { matchLabels: { 'app.kubernetes.io/name': 'keyless-pull' } } },
                { maxSkew: 1 },
              ],
              containers: [
                { securityContext: { readOnlyRootFilesystem: false, allowPrivilegeEscalation: false } },
              ],
            },
          },
        },
      });
      expect(text('Deployment', 'keyless-pull')).toContain(
        '"labelSelector":{"matchLabels":{"tier":"system"}}',
      );
      expect(text('Deployment', 'keyless-pull')).not.toContain('runAsUser');
    },
  },
  'as little as can be': {
    values: {
      config: { ...config, fences: 'optional' },
      fences: { enabled: false },
      rbac: { create: false },
      crd: { install: false },
      networkPolicy: { enabled: false },
      podDisruptionBudget: { enabled: false },
      topologySpreadConstraints: [],
      priorityClassName: '',
    },
    shows({ all }) {
      const kinds = new Set(all.match(/(?<="kind":")\w+(?=","metadata")/g));
      expect([...kinds].toSorted()).toEqual([
        'ConfigMap',
        'Deployment',
        'MutatingWebhookConfiguration',
        'Pod',
        'Secret',
        'Service',
        'ServiceAccount',
        'ValidatingWebhookConfiguration',
      ]);
    },
  },
  'a fence around our labels, and roles of yours': {
    values: { config, fences: { namespaceLabels: true }, rbac: { create: false } },
    shows({ names }) {
      expect(names('ValidatingAdmissionPolicy')).toContain('keyless-pull-namespace-labels');
      expect(names('ClusterRole')).toEqual([]);
    },
  },
  'a fence around our labels': {
    values: { config, fences: { namespaceLabels: true } },
    shows({ names }) {
      expect(names('ValidatingAdmissionPolicy')).toContain('keyless-pull-namespace-labels');
      expect(names('ClusterRole')).toContain('keyless-pull-label-namespaces');
    },
  },
};

interface Hook {
  readonly name: string;
  readonly clientConfig: { readonly service: { readonly path: string } };
  readonly namespaceSelector: { readonly matchExpressions: readonly { readonly operator: string }[] };
}

describe('the API server accepts what is rendered with', () => {
  test.each(Object.entries(ways))('%s', async (_, { values, namespace, release, shows }) => {
    const manifests = await render(values, namespace, release);

    const input = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: manifests });
    const { code, stderr } = await runKubectl(controlPlane, ['apply', '--dry-run=server', '-f', '-'], {
      input,
    });

    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    shows(lookedUp(manifests));
  });
});

describe('the config that is rendered', () => {
  test('is one that the program reads, and its audiences are those of the fence', async () => {
    const other = {
      ...RULE,
      name: 'other',
      hosts: ['other.example'],
      audience: 'https://other.example/?a=1&b=2',
      acceptAudiences: ['https://older.example'],
    };
    const exemptions = [{ secret: 'nexus-*', until: '2027-03-31', reason: 'moves in Q1' }];
    const values = { config: { rules: [RULE, other], policy: { defaultMode: 'off', exemptions } } };

    const { find } = lookedUp(await render(values));

    const { data } = find('ConfigMap', 'keyless-pull-config') as unknown as { data: Record<string, string> };
    const read = parseConfig(data['config.yaml'] ?? '', 'config.yaml');
    expect(read.rules.map(({ name }) => name)).toEqual(['team-registry', 'other']);
    expect(read.policy).toMatchObject({ defaultMode: 'off', exemptions });
    const fence = find('ValidatingAdmissionPolicy', 'keyless-pull-worker-token-requests') as unknown as {
      spec: { variables: { expression: string }[] };
    };
    expect(JSON.parse(fence.spec.variables[0]?.expression ?? '')).toEqual([
      RULE.audience,
      other.audience,
      ...other.acceptAudiences,
    ]);
  });

  test('is the same text each time, and nothing in the templates could make it another', async () => {
    const [first, second] = [await template({ config }), await template({ config })];
    const templates = readdirSync(join(CHART, 'templates')).map((name) => fileOfChart(`templates/${name}`));

    expect(first.stdout).toBe(second.stdout);
    expect(first.code).toBe(0);
    for (const text of templates)
      expect(text).not.toMatch(
        /\{\{[^}]*\b(lookup|rand\w+|uuidv4|now|gen(CA|Private|Self|Signed)\w+|htpasswd|Capabilities|IsInstall|IsUpgrade|Revision)\b/,
      );
  });
});

describe('by default', () => {
  const shipped = readManifests('config.yaml')[0] as unknown as { data: Record<string, string> };
  const shippedConfig: unknown = parse(shipped.data['config.yaml'] ?? '');

  async function kustomized(): Promise<Manifest[]> {
    const { stdout, stderr } = await runKubectl(controlPlane, ['kustomize', MANIFESTS]);
    expect(stderr).toBe('');
    return parseAllDocuments(stdout).map((document): Manifest => document.toJS());
  }

  test('the chart renders the objects of webhook-config/', async () => {
    const chart = comparable(await render({ config: shippedConfig }));
    const plain = comparable(await kustomized());

    // Helm makes the namespace itself, and runs the test.
    delete plain['Namespace keyless-pull'];
    delete chart['Pod keyless-pull-test'];
    expect(Object.keys(chart).toSorted()).toEqual(Object.keys(plain).toSorted());
    expect(chart).toEqual(plain);
  });

  test('and in another namespace the same, but for its name', async () => {
    const chart = comparable(await render({ config: shippedConfig }, 'pulls'));
    const moved = JSON.stringify(await kustomized())
      .replaceAll('"namespace":"keyless-pull"', '"namespace":"pulls"')
      .replaceAll('system:serviceaccount:keyless-pull:', 'system:serviceaccount:pulls:')
      .replaceAll(/(request\.namespace [!=]= )'keyless-pull'/g, "$1'pulls'")
      .replaceAll("'kube-node-lease', 'keyless-pull'", "'kube-node-lease', 'pulls'")
      .replaceAll('"kube-node-lease","keyless-pull"', '"kube-node-lease","pulls"');
    const plain = comparable(JSON.parse(moved) as Manifest[]);

    delete plain['Namespace keyless-pull'];
    delete chart['Pod keyless-pull-test'];
    expect(chart).toEqual(plain);
  });
});

/** By kind and name, without what the chart adds on purpose and without an order that means nothing. */
function comparable(manifests: readonly Manifest[]): Record<string, unknown> {
  return Object.fromEntries(
    manifests.map((manifest) => [`${manifest.kind} ${manifest.metadata.name}`, bare(manifest)]),
  );
}

const CHART_LABELS = /^(app\.kubernetes\.io\/(name|instance|version|managed-by)|helm\.sh\/chart)$/;

function bare(manifest: Manifest): unknown {
  const {
    labels = {},
    annotations = {},
    ...metadata
  } = manifest.metadata as {
    labels?: Record<string, string>;
    annotations?: Record<string, string>;
  };
  const { 'helm.sh/resource-policy': _keep, ...otherAnnotations } = annotations;
  const ownLabels = Object.fromEntries(Object.entries(labels).filter(([name]) => !CHART_LABELS.test(name)));
  const rest = { ...manifest, metadata: { ...metadata, ownLabels, otherAnnotations } };
  if (Array.isArray(manifest['rules'])) return { ...rest, rules: rightsOf(manifest['rules'] as Rule[]) };
  if (manifest.kind === 'ConfigMap') {
    const { data } = manifest as unknown as { data: Record<string, string> };
    return { ...rest, data: parse(data['config.yaml'] ?? '') };
  }
  if (manifest.kind !== 'Deployment') return rest;
  // What Kubernetes has as default, the chart says.
  const [pod] = [JSON.parse(JSON.stringify(rest)) as Deployment];
  pod.spec.template.spec.terminationGracePeriodSeconds ??= 30;
  for (const container of pod.spec.template.spec.containers) container.imagePullPolicy ??= 'IfNotPresent';
  return pod;
}

interface Rule {
  readonly apiGroups: string[];
  readonly resources: string[];
  readonly resourceNames?: string[];
  readonly verbs: string[];
}

interface Deployment {
  readonly spec: {
    readonly template: {
      readonly spec: {
        terminationGracePeriodSeconds?: number;
        readonly containers: { imagePullPolicy?: string }[];
      };
    };
  };
}

function rightsOf(rules: readonly Rule[]): string[] {
  return rules
    .flatMap(({ apiGroups, resources, resourceNames = ['*'], verbs }) =>
      apiGroups.flatMap((group) =>
        resources.flatMap((resource) =>
          resourceNames.flatMap((name) => verbs.map((verb) => `${verb} ${group}/${resource} ${name}`)),
        ),
      ),
    )
    .toSorted();
}

describe('helm', () => {
  test('lint finds nothing, be it ever so strict', async () => {
    const { code, stdout } = await helm('lint', '--strict', CHART, '-f', FIRST_INSTALL);

    expect(stdout).toContain('1 chart(s) linted, 0 chart(s) failed');
    expect(code).toBe(0);
  });

  test.each<[string, object, string[]]>([
    ['no rule', {}, ["at '/config/rules': minItems: got 0, want 1"]],
    ['a value that is none', { config, replica: 3 }, ["additional properties 'replica' not allowed"]],
    ['a key of the config that is none', { config: { ...config, polcy: {} } }, ["at '/config'", "'polcy'"]],
    [
      'a rule without an audience',
      { config: { rules: [{ ...RULE, audience: undefined }] } },
      ["at '/config/rules/0'", "'audience'"],
    ],
    [
      'an unknown exchange',
      { config: { rules: [{ ...RULE, exchange: { kind: 'ftp' } }] } },
      ["at '/config/rules/0/exchange/kind'"],
    ],
    [
      'a scheme in a host',
      { config: { rules: [{ ...RULE, hosts: ['https://x'] }] } },
      ["at '/config/rules/0/hosts/0'"],
    ],
    [
      'a mode that YAML takes for false',
      { config: { ...config, policy: { defaultMode: false } } },
      ["at '/config/policy/defaultMode'"],
    ],
    ['roles that are none', { config, roles: 'both' }, ["at '/roles'"]],
    ['no replica', { config, replicas: 0 }, ["at '/replicas'"]],
    [
      'more away than there are',
      { config, podDisruptionBudget: { maxUnavailable: '101%' } },
      ["at '/podDisruptionBudget/maxUnavailable'"],
    ],
    [
      'an authority that is encoded once already',
      { config, tls: { mode: 'secret', caBundle: Buffer.from(PEM).toString('base64') } },
      ["at '/tls/caBundle'"],
    ],
    ['one port for two', { config, ports: { https: 9090 } }, ['ports: https and metrics need one each']],
    [
      'an empty value that has no other meaning',
      {
        config,
        roles: null,
        logLevel: null,
        tls: { mode: null },
        webhooks: { default: { failurePolicy: null } },
      },
      ['roles: ', 'logLevel: ', 'tls.mode: ', 'webhooks.default.failurePolicy: '],
    ],
    [
      "the worker's rights in our own namespace",
      { config, rbac: { perNamespace: true, namespaces: [OWN_NAMESPACE] } },
      ['rbac.namespaces: keyless-pull is our own'],
    ],
    ['a digest that is none', { config, image: { digest: 'latest' } }, ["at '/image/digest'"]],
    [
      'a failure policy for accounts',
      { config, webhooks: { accountsAndWorkloads: { failurePolicy: 'Fail' } } },
      ["at '/webhooks/accountsAndWorkloads'", "'failurePolicy'"],
    ],
    [
      'a timeout that no API server takes',
      { config, webhooks: { mutate: { timeoutSeconds: 31 } } },
      ["at '/webhooks/mutate/timeoutSeconds'"],
    ],
    [
      'a name that no namespace has',
      { config, excludedNamespaces: ['kube_system'] },
      ["at '/excludedNamespaces/0'"],
    ],
    [
      'several faults',
      { config: { rules: [] }, tls: { mode: 'none' }, ports: { https: 0 } },
      ["at '/config/rules'", "at '/tls/mode'", "at '/ports/https'"],
    ],
    ['fences off, and needed', { config, fences: { enabled: false } }, ['unless config.fences is optional']],
    [
      'values that go with others',
      {
        config,
        rbac: { namespaces: ['shop'] },
        tls: { secretName: 'x', caBundle: PEM, certManager: { issuerRef: { name: 'x' } } },
      },
      [
        'goes with rbac.perNamespace',
        'tls.secretName: goes with tls.mode secret',
        'tls.caBundle: goes with tls.mode secret',
        'goes with tls.mode cert-manager',
      ],
    ],
  ])('refuses %s, and says where', async (_, values, phrases) => {
    const { code, stdout, stderr } = await template(values);

    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    for (const phrase of phrases) expect(stderr).toContain(phrase);
  });

  test("refuses Kubernetes' own namespaces", async () => {
    const { stderr } = await template({ config }, 'kube-system');

    expect(stderr).toContain('keyless-pull wants a namespace of its own');
  });

  test('takes the chart as a part of another, which switches it on', async () => {
    const parent = join(controlPlane.folder, 'parent');
    cpSync(CHART, join(parent, 'charts', 'keyless-pull'), { recursive: true });
    const dependencies = [{ name: 'keyless-pull', version: '0.1.0', condition: 'keyless-pull.enabled' }];
    writeFileSync(
      join(parent, 'Chart.yaml'),
      JSON.stringify({ apiVersion: 'v2', name: 'parent', version: '1.0.0', dependencies }),
    );
    const flags = ['template', 'x', parent, '--namespace', OWN_NAMESPACE, '-f'];

    const on = await helm(...flags, valuesFile({ 'keyless-pull': { enabled: true, config } }));
    const off = await helm(...flags, valuesFile({ 'keyless-pull': { enabled: false } }));

    expect({ code: on.code, stderr: on.stderr }).toEqual({ code: 0, stderr: '' });
    expect(on.stdout).toContain('kind: Deployment');
    expect({ code: off.code, stdout: off.stdout.trim() }).toEqual({ code: 0, stdout: '' });
  });

  test('refuses Kubernetes before 1.30', async () => {
    const { stderr } = await helm('template', 'x', CHART, '-f', FIRST_INSTALL, '--kube-version', '1.29.9');

    expect(stderr).toContain('requires kubeVersion: >=1.30.0-0');
  });
});
