// The review that is asked over and over, the little world in which it is warm, and the patch that must come back.
import { principalsOf } from '../../src/core/identity-parameters.ts';
import { needFor } from '../../src/core/pull-plan.ts';
import { CREDENTIALS_ANNOTATION, INJECT_LABEL, MANAGED_LABEL } from '../../src/core/vocabulary.ts';
import type { Need } from '../../src/core/pull-credential.ts';
import type { RegistryRule } from '../../src/core/registry-rule.ts';
import { ACCOUNT, HOST, NAMESPACE, POD } from './pod.ts';

export const ACCOUNT_MANIFEST = {
  metadata: {
    namespace: NAMESPACE,
    name: ACCOUNT,
    uid: '5f1d9a52-37c4-4a8e-9f60-2b7c1f0c6d11',
    annotations: {},
  },
};
export const NAMESPACE_MANIFEST = { metadata: { name: NAMESPACE, labels: { [INJECT_LABEL]: 'enabled' } } };

/** The config of the webhook that is measured: nothing but what this pod needs. */
export const CONFIG = `apiVersion: keyless-pull.dev/v1
kind: Config
rules:
  - name: team-registry
    hosts: ['${HOST}']
    audience: https://registry.team.example
    exchange: { kind: pass-through }
`;

/** The one credential that the pod needs. */
export function needOfPod(rule: RegistryRule): Need {
  const { namespace, name, uid } = ACCOUNT_MANIFEST.metadata;
  const [principal] = principalsOf(rule, { name, annotations: {} }, HOST).principals;
  if (!principal) throw new TypeError('the rule of the bench has no parameters');
  return needFor({ namespace, account: name, uid }, rule, HOST, principal);
}

/** The operations that every answer must carry: reference, label, annotation; no gate, for the credential is ready. */
export function expectedPatch(rule: RegistryRule): object[] {
  const { secretName } = needOfPod(rule);
  const pointer = (key: string) => key.replaceAll('/', '~1');
  return [
    { op: 'add', path: '/spec/imagePullSecrets', value: [{ name: secretName }] },
    { op: 'add', path: `/metadata/labels/${pointer(MANAGED_LABEL)}`, value: 'true' },
    {
      op: 'add',
      path: `/metadata/annotations/${pointer(CREDENTIALS_ANNOTATION)}`,
      value: `${rule.name}=${secretName}`,
    },
  ];
}

/** Bytes of the pod alone. */
export const POD_BYTES = Buffer.byteLength(JSON.stringify(POD));

/** The AdmissionReview that asks for it; `uid` has 36 characters, as the API server's have. */
export function reviewText(uid: string): string {
  const resource = { group: '', version: 'v1', resource: 'pods' };
  const kind = { group: '', version: 'v1', kind: 'Pod' };
  return JSON.stringify({
    kind: 'AdmissionReview',
    apiVersion: 'admission.k8s.io/v1',
    request: {
      uid,
      kind,
      resource,
      requestKind: kind,
      requestResource: resource,
      namespace: NAMESPACE,
      operation: 'CREATE',
      userInfo: {
        username: 'system:serviceaccount:kube-system:replicaset-controller',
        uid: '3c1b1f0e-58a1-4d35-a2f4-0a0f8f3e9d55',
        groups: ['system:serviceaccounts', 'system:serviceaccounts:kube-system', 'system:authenticated'],
      },
      object: POD,
      oldObject: null,
      dryRun: false,
      options: { kind: 'CreateOptions', apiVersion: 'meta.k8s.io/v1' },
    },
  });
}
