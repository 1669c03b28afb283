// webhook-config/ against the code, without a cluster: the same words, the same fields, nothing forgotten.
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { statusProblem } from '../src/cluster/kube-problem.ts';
import { parseConfig } from '../src/config.ts';
import { recordManifest, statusManifest } from '../src/core/pull-credential-record.ts';
import { expectedFences, expectedRights } from '../src/cli/system/expected.ts';
import { policyModes } from '../src/core/pull-policy.ts';
import * as vocabulary from '../src/core/vocabulary.ts';
import { isWorkload } from '../src/core/workload.ts';
import { problemCodes } from '../src/problem.ts';
import {
  manifestFiles,
  OWN_NAMESPACE,
  readManifests,
  WORKER_ACCOUNT,
  WORKER_USER,
} from '../tools/install.ts';
import type { Manifest } from '../tools/install.ts';

const OWN_SECRET = 'keyless-pull-tls';

const yamlOf = (path: string) =>
  parseAllDocuments(readFileSync(new URL(path, import.meta.url), 'utf8')).map(
    (document) => document.toJS() as Manifest & { readonly spec?: unknown },
  );

const all: (Manifest & { readonly spec?: unknown })[] = manifestFiles().flatMap(readManifests);
const texts = all.map((manifest) => JSON.stringify(manifest));

test('the kustomization lists every file', () => {
  const folder = new URL('../webhook-config/', import.meta.url);
  const files = readdirSync(folder).filter((name) => name.endsWith('.yaml') && name !== 'kustomization.yaml');

  expect(manifestFiles().toSorted()).toEqual(files.toSorted());
});

test('no object stands there twice, and each that lives in a namespace lives in ours', () => {
  const names = all.map(({ kind, metadata }) => `${kind} ${metadata.name}`);
  const namespaced = [
    'ServiceAccount',
    'ResourceQuota',
    'NetworkPolicy',
    'Role',
    'RoleBinding',
    'ConfigMap',
    'Secret',
    'Deployment',
    'Service',
    'PodDisruptionBudget',
  ];

  expect(new Set(names).size).toBe(names.length);
  for (const { kind, metadata } of all) {
    expect(metadata.namespace, `${kind} ${metadata.name}`).toBe(
      namespaced.includes(kind) ? OWN_NAMESPACE : undefined,
    );
  }
});

test('replicas that run and are not ready keep no node from being drained', () => {
  const budgets = [...all, ...yamlOf('../examples/token-server/deployment.yaml')].filter(
    ({ kind }) => kind === 'PodDisruptionBudget',
  );

  expect(budgets.map(({ spec }) => (spec as Record<string, unknown>)['unhealthyPodEvictionPolicy'])).toEqual([
    'AlwaysAllow',
    'AlwaysAllow',
  ]);
});

test("cert-manager's certificate comes from an authority, so that caBundle stays when it is renewed", () => {
  const made = yamlOf('../webhook-config/cert-manager/certificate.yaml');
  const find = (kind: string, name: string) =>
    made.find((manifest) => manifest.kind === kind && manifest.metadata.name === name)?.spec;

  expect(find('Certificate', OWN_SECRET)).toMatchObject({ issuerRef: { name: 'keyless-pull' } });
  expect(find('Issuer', 'keyless-pull')).toEqual({ ca: { secretName: 'keyless-pull-authority' } });
  expect(find('Certificate', 'keyless-pull-authority')).toMatchObject({
    isCA: true,
    secretName: 'keyless-pull-authority',
  });
});

describe('the manifests use the words of the code', () => {
  test('labels, annotations, gate and API group', () => {
    const known = new Set([
      vocabulary.INJECT_LABEL,
      vocabulary.STATIC_PULL_SECRETS_LABEL,
      vocabulary.MANAGED_LABEL,
      vocabulary.GATE,
      vocabulary.RECORD_API_VERSION,
      // The config file's own, and the fence that wants any version of the record's group.
      'keyless-pull.dev/v1',
      'keyless-pull.dev/',
    ]);
    const used = new Set(texts.flatMap((text) => text.match(/keyless-pull\.dev\/[a-z0-9-]*/g) ?? []));

    expect([...used].filter((word) => !known.has(word))).toEqual([]);
    expect(texts.join()).toContain(`'${vocabulary.MIRROR_ANNOTATION}'`);
    expect(texts.join()).toContain(`startsWith('${vocabulary.SECRET_PREFIX}')`);
  });

  test('the namespaces that are never touched', () => {
    const lists = texts.flatMap((text) => text.match(/\[[^[\]]*kube-system[^[\]]*\]/g) ?? []);

    expect(lists.length).toBeGreaterThan(8);
    for (const list of lists) {
      const names = list.match(/[a-z][a-z-]+/g)?.filter((name) => name !== OWN_NAMESPACE);
      expect(names).toEqual(vocabulary.PROTECTED_NAMESPACES);
    }
  });

  test('PullCredential', () => {
    const { spec } = ofKind('CustomResourceDefinition')[0] as unknown as { spec: Crd };

    expect(spec.group).toBe(vocabulary.API_GROUP);
    expect(spec.names).toMatchObject({
      kind: vocabulary.RECORD_KIND,
      plural: vocabulary.RECORD_PLURAL,
      shortNames: ['pullcred'],
    });
    expect(spec.versions.map(({ name }) => `${spec.group}/${name}`)).toEqual([vocabulary.RECORD_API_VERSION]);
  });
});

test('what doctor system expects of an installation is what stands here', () => {
  const roles = readManifests('rbac.yaml').filter(({ kind }) => kind.endsWith('Role'));
  for (const holder of ['webhook', 'worker'] as const) {
    const granted = roles
      .filter(({ metadata }) => metadata.name === `keyless-pull-${holder}`)
      .flatMap(({ kind, rules }) =>
        (
          rules as { apiGroups: string[]; resources: string[]; verbs: string[]; resourceNames?: string[] }[]
        ).flatMap((rule) =>
          rule.apiGroups.flatMap((group) =>
            rule.resources.flatMap((resource) =>
              rule.verbs.map(
                (verb) => `${kind} ${verb} ${group}/${resource} ${rule.resourceNames?.join() ?? ''}`,
              ),
            ),
          ),
        ),
      );
    const expected = expectedRights[holder].flatMap(({ group, resource, verbs, name = '', scope }) =>
      verbs.map((verb) => `${scope === 'own' ? 'Role' : 'ClusterRole'} ${verb} ${group}/${resource} ${name}`),
    );
    expect(expected.toSorted(), holder).toEqual(granted.toSorted());
  }
  const perNamespace = readManifests('per-namespace/namespaced-role.yaml').flatMap(({ rules }) =>
    (rules as { resources: string[]; verbs: string[] }[]).flatMap(({ resources, verbs }) =>
      resources.flatMap((each) => verbs.map((verb) => `${verb} ${each}`)),
    ),
  );
  const optedIn = expectedRights.worker.filter(({ scope }) => scope === 'optedIn');
  expect(
    optedIn.flatMap(({ resource, verbs }) => verbs.map((verb) => `${verb} ${resource}`)).toSorted(),
  ).toEqual(perNamespace.toSorted());
  const fences = readManifests('fences.yaml');
  for (const kind of ['ValidatingAdmissionPolicy', 'ValidatingAdmissionPolicyBinding'])
    expect(fences.filter((each) => each.kind === kind).map(({ metadata }) => metadata.name)).toEqual(
      expectedFences,
    );
});

describe('the schema of PullCredential', () => {
  const { spec } = ofKind('CustomResourceDefinition')[0] as unknown as { spec: Crd };
  const schema = spec.versions[0]?.schema.openAPIV3Schema ?? {};
  const [full, bare] = [true, false].map((isFull) => ({
    ...recordManifest(needWith(isFull ? 'arn:aws:iam::111122223333:role/pull' : '')),
    status: statusManifest(statusWith(isFull ? 1 : 0)),
  }));

  test('knows every field that the worker writes, and no other', () => {
    expect(leavesOf(full, 'spec', 'status')).toEqual(leavesOfSchema(schema, 'spec', 'status'));
  });

  test('requires only what the worker always writes', () => {
    expect(missingFrom(schema, bare)).toEqual([]);
  });

  test('has room for every problem code as a reason', () => {
    const reason = schema.properties?.['status']?.properties?.['conditions']?.items?.properties?.['reason'];
    for (const code of ['issued', ...Object.keys(problemCodes)]) {
      expect(code).toMatch(new RegExp(reason?.pattern ?? 'no pattern'));
      expect(code.length).toBeLessThanOrEqual(reason?.maxLength ?? 0);
    }
  });
});

test('the config is a valid one, and the fence lets the worker ask for its audiences and no other', () => {
  const [config] = ofKind('ConfigMap') as unknown as { data: Record<string, string> }[];
  const fences = ofKind('ValidatingAdmissionPolicy') as unknown as (Manifest & { spec: Policy })[];
  const fence = fences.find(({ metadata }) => metadata.name === 'keyless-pull-worker-token-requests');

  const { rules } = parseConfig(config?.data['config.yaml'] ?? '', 'config.yaml');

  expect(fence?.spec.variables).toEqual([
    { name: 'audiences', expression: JSON.stringify(rules.map(({ audience }) => audience)) },
  ]);
});

describe('the roles', () => {
  const rules = [...ofKind('ClusterRole'), ...ofKind('Role')].flatMap(({ metadata, ...role }) =>
    (role['rules'] as Rule[]).map((rule) => ({ role: metadata.name, ...rule })),
  );

  test('let nobody read a Secret but that of our own certificate, and have no wildcard', () => {
    for (const { role, apiGroups, resources, resourceNames, verbs } of rules) {
      expect([...apiGroups, ...resources, ...verbs], role).not.toContain('*');
      if (!resources.includes('secrets')) continue;
      if (resourceNames) {
        expect(resourceNames, role).toEqual([OWN_SECRET]);
        expect(verbs, role).toEqual(role === 'keyless-pull-worker' ? ['get', 'update'] : ['get']);
      } else expect(verbs, role).toEqual(['create', 'update']);
    }
    const named = all.flatMap(({ kind, metadata, rules: of }) =>
      ((of ?? []) as Rule[]).flatMap(({ resourceNames }) =>
        (resourceNames ?? []).map((name) => [kind, metadata.namespace, name]),
      ),
    );
    expect(named.filter(([, , name]) => name === OWN_SECRET)).toEqual(
      Array.from({ length: 2 }, () => ['Role', OWN_NAMESPACE, OWN_SECRET]),
    );
  });

  test('let the webhook look and do nothing', () => {
    const verbs = rules.filter(({ role }) => role === 'keyless-pull-webhook').flatMap((rule) => rule.verbs);

    expect(new Set(verbs)).toEqual(new Set(['list', 'watch', 'get']));
  });

  test('are for objects that the manifests make under these very names', () => {
    const secret = ofKind('Secret').map(({ metadata, ...rest }) => ({ name: metadata.name, ...rest }));
    const named = rules.flatMap(({ resources, resourceNames }) =>
      resources.includes('mutatingwebhookconfigurations') ? (resourceNames ?? []) : [],
    );

    expect(secret).toEqual([{ name: OWN_SECRET, apiVersion: 'v1', kind: 'Secret', type: 'Opaque' }]);
    expect(named).toEqual(ofKind('MutatingWebhookConfiguration').map(({ metadata }) => metadata.name));
    expect(named).toEqual(ofKind('ValidatingWebhookConfiguration').map(({ metadata }) => metadata.name));
  });

  test('are bound, both of them, to the account that the Deployment runs as', () => {
    const bindings = [...ofKind('ClusterRoleBinding'), ...ofKind('RoleBinding')] as unknown as {
      roleRef: { name: string };
      subjects: { kind: string; namespace: string; name: string }[];
    }[];
    const subjects = bindings.flatMap((binding) => binding.subjects);

    expect(bindings.map(({ roleRef }) => roleRef.name)).toEqual(
      ['webhook', 'worker', 'webhook', 'worker'].map((role) => `keyless-pull-${role}`),
    );
    for (const subject of subjects) {
      expect(subject).toEqual({ kind: 'ServiceAccount', name: WORKER_ACCOUNT, namespace: OWN_NAMESPACE });
    }
    expect(texts.join()).toContain(`"serviceAccountName":"${WORKER_ACCOUNT}"`);
  });
});

describe('the variant with rights per namespace', () => {
  const rulesOf = (manifests: readonly Manifest[]) =>
    manifests.flatMap((manifest) =>
      (manifest['rules'] as Rule[]).flatMap(({ apiGroups, resources, verbs }) =>
        apiGroups.flatMap((group) =>
          resources.flatMap((resource) => verbs.map((verb) => `${verb} ${group}/${resource}`)),
        ),
      ),
    );
  const whole = ofKind('ClusterRole').filter(({ metadata }) => metadata.name === 'keyless-pull-worker');
  const [everywhere, inOne] = ['worker-role', 'namespaced-role'].map((name) =>
    readManifests(`per-namespace/${name}.yaml`),
  );
  const [binding] = readManifests('per-namespace/namespace/role-binding.yaml') as unknown as (Manifest & {
    roleRef: object;
    subjects: object[];
  })[];

  test('divides the rights of the worker and neither loses one nor adds one', () => {
    const divided = [...rulesOf(everywhere ?? []), ...rulesOf(inOne ?? [])];

    expect(divided.toSorted()).toEqual(rulesOf(whole).toSorted());
    expect(everywhere?.map(({ kind, metadata }) => [kind, metadata.name])).toEqual([
      ['ClusterRole', 'keyless-pull-worker'],
    ]);
  });

  test('leaves the worker in the whole cluster nothing but to look, to tell, and to keep the caBundle of our webhooks', () => {
    const writes = rulesOf(everywhere ?? []).filter((right) => !/^(get|list|watch) /.test(right));

    expect(writes).toEqual([
      'create events.k8s.io/events',
      'update admissionregistration.k8s.io/mutatingwebhookconfigurations',
      'update admissionregistration.k8s.io/validatingwebhookconfigurations',
    ]);
  });

  test('gives it in a namespace what it writes, and nothing to read', () => {
    const looks = rulesOf(inOne ?? []).filter((right) => !/^(create|update|patch|delete) /.test(right));

    expect(looks).toEqual([]);
    expect(rulesOf(inOne ?? []).filter((right) => right.endsWith('/secrets'))).toEqual([
      'create /secrets',
      'update /secrets',
    ]);
  });

  test('binds that to the worker in whatever namespace it is applied to, and not by itself', () => {
    expect(binding).toMatchObject({
      kind: 'RoleBinding',
      roleRef: { kind: 'ClusterRole', name: inOne?.[0]?.metadata.name },
      subjects: [{ kind: 'ServiceAccount', name: WORKER_ACCOUNT, namespace: OWN_NAMESPACE }],
    });
    expect(binding?.metadata).not.toHaveProperty('namespace');
  });
});

describe('the fences', () => {
  const policies = ofKind('ValidatingAdmissionPolicy') as unknown as (Manifest & { spec: Policy })[];
  const bindings = ofKind('ValidatingAdmissionPolicyBinding') as unknown as (Manifest & { spec: Binding })[];

  test('each have a binding that denies, and fail closed', () => {
    expect(bindings.map(({ metadata, spec }) => [metadata.name, spec.policyName])).toEqual(
      policies.map(({ metadata }) => [metadata.name, metadata.name]),
    );
    for (const { spec } of bindings) expect(spec.validationActions).toEqual(['Deny']);
    for (const { spec } of policies) expect(spec.failurePolicy).toBe('Fail');
  });

  test('each say what is forbidden, in one sentence that names keyless-pull', () => {
    const messages = policies.flatMap(({ spec }) => spec.validations.map(({ message }) => message));

    for (const message of messages)
      expect(message).toMatch(/^(keyless-pull's worker may|only keyless-pull may) [^\n]+[^.\n]$/);
  });

  test('have no parameters: while those are missing, a policy refuses everybody, kubelets included', () => {
    for (const { metadata, spec } of [...policies, ...bindings]) {
      expect(spec, metadata.name).not.toHaveProperty('paramKind');
      expect(spec, metadata.name).not.toHaveProperty('paramRef');
    }
  });

  test('that speak of the namespace are told by the code from those that speak of the object', () => {
    for (const { metadata, spec } of policies.filter(({ metadata }) =>
      metadata.name.startsWith('keyless-pull-worker-'),
    )) {
      for (const { expression, message } of spec.validations) {
        const text = `ValidatingAdmissionPolicy '${metadata.name}' with binding '${metadata.name}' denied request: ${message}`;
        const problem = statusProblem(422, { reason: 'Invalid', message: text }, undefined, {
          method: 'PUT',
          path: '/x',
        });
        const speaksOfNamespace =
          expression.includes('namespaceObject') || expression.includes('request.namespace in');
        expect(problem.code, message).toBe(speaksOfNamespace ? 'namespace-refused' : 'cluster-refused');
      }
    }
  });

  test('all name the worker, in the one form that an installer has to replace', () => {
    for (const { metadata, spec } of policies) {
      const operator = metadata.name.startsWith('keyless-pull-worker-') ? '==' : '!=';
      expect(spec.matchConditions[0]?.expression, metadata.name).toBe(
        `request.userInfo.username ${operator} '${WORKER_USER}'`,
      );
      expect(JSON.stringify(spec).split('system:serviceaccount').length - 1, metadata.name).toBe(1);
    }
  });
});

describe('the webhooks', () => {
  const [mutating, validating] = [
    ...ofKind('MutatingWebhookConfiguration'),
    ...ofKind('ValidatingWebhookConfiguration'),
  ].map((configuration) => configuration['webhooks'] as Hook[]);

  test('mutation is for namespaces that opted in', () => {
    expect(mutating?.map(({ clientConfig }) => clientConfig.service.path)).toEqual(['/mutate']);
    expect(selectorOf(mutating?.[0], vocabulary.INJECT_LABEL)).toEqual([['In', 'enabled']]);
  });

  const modes = policyModes.filter((mode) => mode !== 'off');
  const ofResource = (resource: string) =>
    validating?.filter(({ rules: asked }) => asked.some(({ resources }) => resources.includes(resource))) ??
    [];

  test.each(['pods', 'serviceaccounts', 'deployments'])(
    'for %s each mode of the policy has its path, and what is misspelt warns',
    (resource) => {
      const entries = ofResource(resource)
        .filter((hook) => selectorOf(hook, vocabulary.INJECT_LABEL).length === 0)
        .map((hook) => [
          hook.clientConfig.service.path,
          selectorOf(hook, vocabulary.STATIC_PULL_SECRETS_LABEL),
        ]);

      expect(entries).toEqual([
        ...modes.map((mode) => [`/validate/${mode}`, [['In', mode]]]),
        ['/validate/warn', [['Exists'], ['NotIn', ...policyModes]]],
      ]);
    },
  );

  test('annotations of accounts are looked at wherever a namespace opted in, whatever its mode', () => {
    const [hook, ...others] = ofResource('serviceaccounts').filter(
      (each) => selectorOf(each, vocabulary.INJECT_LABEL).length > 0,
    );

    expect(others).toEqual([]);
    expect(hook?.rules.flatMap(({ resources }) => resources)).toEqual(['serviceaccounts']);
    expect(selectorOf(hook, vocabulary.INJECT_LABEL)).toEqual([['In', 'enabled', 'draining']]);
    expect(selectorOf(hook, vocabulary.STATIC_PULL_SECRETS_LABEL)).toEqual([['NotIn', ...modes]]);
  });

  test('pods have entries of their own, so that accounts and workloads are never held up', () => {
    for (const { rules: asked } of ofResource('pods'))
      expect(asked.flatMap(({ resources }) => resources)).toEqual(['pods', 'pods/ephemeralcontainers']);
    for (const { failurePolicy } of [...ofResource('serviceaccounts'), ...ofResource('deployments')])
      expect(failurePolicy).toBe('Ignore');
  });

  test('the kinds of workloads are those that the code can judge', () => {
    const asked = ofResource('deployments')[0]?.rules.filter(({ apiGroups }) => apiGroups[0] !== '') ?? [];
    const kinds = ['Deployment', 'StatefulSet', 'DaemonSet', 'ReplicaSet', 'Job', 'CronJob'];

    expect(asked.flatMap(({ resources }) => resources)).toEqual(
      kinds.map((kind) => `${kind.toLowerCase()}s`),
    );
    for (const kind of kinds)
      expect(
        asked.some(({ apiGroups }) => isWorkload(apiGroups[0] ?? '', kind)),
        kind,
      ).toBe(true);
  });

  test('only mutation and enforcement may hold a pod up', () => {
    const failing = [...(mutating ?? []), ...(validating ?? [])].filter(
      ({ failurePolicy }) => failurePolicy === 'Fail',
    );

    expect(failing.map(({ name }) => name)).toEqual(['mutate.keyless-pull.dev', 'enforce.keyless-pull.dev']);
  });

  test('breaking the glass is for enforcement alone', () => {
    const breakable = [...(mutating ?? []), ...(validating ?? [])].filter(({ matchConditions }) =>
      JSON.stringify(matchConditions).includes('break-glass'),
    );

    expect(breakable.map(({ name }) => name)).toEqual(['enforce.keyless-pull.dev']);
  });
});

test('the fence on labels is no part of the whole, and as closed as the others', () => {
  const [policy, binding] = readManifests('label-fence/policy.yaml') as unknown as [
    Manifest & { spec: Policy },
    Manifest & { spec: Binding },
  ];
  const [role] = readManifests('label-fence/role.yaml') as unknown as { rules: Rule[] }[];

  expect(manifestFiles().join()).not.toContain('label-fence');
  expect(policy.spec).toMatchObject({ failurePolicy: 'Fail' });
  expect(binding.spec).toEqual({ policyName: policy.metadata.name, validationActions: ['Deny'] });
  for (const label of [vocabulary.INJECT_LABEL, vocabulary.STATIC_PULL_SECRETS_LABEL])
    expect(label.startsWith(`${vocabulary.API_GROUP}/`)).toBe(true);
  expect(role?.rules).toEqual([
    { apiGroups: [vocabulary.API_GROUP], resources: ['namespaces'], verbs: ['label'] },
  ]);
});

interface Rule {
  readonly apiGroups: string[];
  readonly resources: string[];
  readonly resourceNames?: string[];
  readonly verbs: string[];
}

interface Policy {
  readonly failurePolicy: string;
  readonly matchConditions: { readonly name: string; readonly expression: string }[];
  readonly variables: { readonly name: string; readonly expression: string }[];
  readonly validations: { readonly expression: string; readonly message: string }[];
}

interface Binding {
  readonly policyName: string;
  readonly validationActions: string[];
}

interface Hook {
  readonly name: string;
  readonly failurePolicy: string;
  readonly rules: { readonly apiGroups: string[]; readonly resources: string[] }[];
  readonly matchConditions: unknown[];
  readonly clientConfig: { readonly service: { readonly path: string } };
  readonly namespaceSelector: {
    readonly matchExpressions: { key: string; operator: string; values?: string[] }[];
  };
}

interface Schema {
  readonly type?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly pattern?: string;
  readonly maxLength?: number;
}

interface Crd {
  readonly group: string;
  readonly names: object;
  readonly versions: { readonly name: string; readonly schema: { readonly openAPIV3Schema: Schema } }[];
}

function ofKind(kind: string): Manifest[] {
  return all.filter((manifest) => manifest.kind === kind);
}

function selectorOf(hook: Hook | undefined, label: string): string[][] {
  const expressions = hook?.namespaceSelector.matchExpressions ?? [];
  return expressions
    .filter(({ key }) => key === label)
    .map(({ operator, values = [] }) => [operator, ...values]);
}

function needWith(principal: string): Parameters<typeof recordManifest>[0] {
  const identity = { namespace: 'team', account: 'app', uid: '5f0c2f5e-7a62-4b0d-8d0c-3f2f6f3d7a11' };
  return {
    identity,
    rule: 'ecr',
    principal,
    host: 'registry.example',
    secretName: 'keyless-pull-app',
    digest: '0'.repeat(32),
  };
}

/** With 0, everything is absent that may be absent. */
function statusWith(at: number): Parameters<typeof statusManifest>[0] {
  const text = at ? '0'.repeat(32) : '';
  return {
    isReady: true,
    reason: 'issued',
    message: '',
    changedAt: at,
    issuedAt: at,
    expiresAt: at,
    refreshAt: at,
    digest: text,
    tokenId: text,
    tokenKeyId: text,
    secretUid: text,
  };
}

/** Paths of all values that are no objects, below these keys; `[]` stands for every element of a list. */
function leavesOf(value: unknown, ...keys: string[]): string[] {
  if (Array.isArray(value))
    return [...new Set(value.flatMap((each) => leavesOf(each).map((leaf) => `[]${leaf}`)))].toSorted();
  if (typeof value !== 'object' || value === null) return [''];
  return Object.entries(value)
    .filter(([key]) => keys.length === 0 || keys.includes(key))
    .flatMap(([key, member]) => leavesOf(member).map((leaf) => `.${key}${leaf}`))
    .toSorted();
}

function leavesOfSchema(schema: Schema, ...keys: string[]): string[] {
  if (schema.items) return leavesOfSchema(schema.items).map((leaf) => `[]${leaf}`);
  if (!schema.properties) return [''];
  return Object.entries(schema.properties)
    .filter(([key]) => keys.length === 0 || keys.includes(key))
    .flatMap(([key, member]) => leavesOfSchema(member).map((leaf) => `.${key}${leaf}`))
    .toSorted();
}

/** What the schema requires and the value lacks. */
function missingFrom(schema: Schema, value: unknown): string[] {
  if (schema.items && Array.isArray(value))
    return value.flatMap((each) => missingFrom(schema.items ?? {}, each));
  if (typeof value !== 'object' || value === null) return [];
  const members: Record<string, unknown> = { ...value };
  return [
    ...(schema.required ?? []).filter((key) => !(key in members)),
    ...Object.entries(schema.properties ?? {}).flatMap(([key, member]) => missingFrom(member, members[key])),
  ];
}
