// What the demo's user writes: a namespace that opts in, a Deployment, a bare pod, and a pod with a static pull secret;
// and the node that stands in for real ones.
import { INJECT_LABEL, STATIC_PULL_SECRETS_LABEL } from '../../src/core/vocabulary.ts';

/** The team that opted in, and another one of the same cluster that did not. */
export const TEAM = 'shop';
export const OTHER_TEAM = 'stock';

/** Works in both teams. An administrator's own pods would pass: see "Break-glass" in docs/policy.md. */
export const DEVELOPER = 'jane';

/** The team's accounts, sorted; each pulls the image of its own name. */
export const ACCOUNTS = ['report', 'web'];

export const NODE_NAME = 'paper-node';
export const DEPLOYMENT_REPLICAS = 2;

/** File names and contents; a real node here has no network of its own to give to pods. The images come from the registry at `host` ("127.0.0.1:5000"). */
export function userFiles(host: string, withNode: boolean): Readonly<Record<string, string>> {
  return {
    'node.yaml': NODE,
    'shop.yaml': SHOP,
    'web.yaml': deployment(`${host}/${TEAM}/web:1.0`, network(withNode, 6)),
    'report.yaml': pod(`${host}/${TEAM}/report:1.0`, network(withNode, 2)),
    'old-habit.yaml': podWithStaticSecret(`${host}/${TEAM}/report:1.0`),
  };
}

const SHOP = `\
apiVersion: v1
kind: Namespace
metadata:
  name: ${TEAM}
  labels:
    ${INJECT_LABEL}: enabled
    ${STATIC_PULL_SECRETS_LABEL}: enforce
---
apiVersion: v1
kind: ServiceAccount
metadata:
  name: web
  namespace: ${TEAM}
---
apiVersion: v1
kind: ServiceAccount
metadata:
  name: report
  namespace: ${TEAM}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: developers
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: edit
subjects:
  - apiGroup: rbac.authorization.k8s.io
    kind: User
    name: ${DEVELOPER}
`;

/** A line of a pod's spec, so deep. */
function network(isHosts: boolean, indent: number): string {
  return isHosts ? `${' '.repeat(indent)}hostNetwork: true\n` : '';
}

function deployment(image: string, network: string): string {
  return `\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
spec:
  replicas: ${DEPLOYMENT_REPLICAS}
  selector:
    matchLabels:
      app: web
  template:
    metadata:
      labels:
        app: web
    spec:
      serviceAccountName: web
${network}      containers:
        - name: web
          image: ${image}
`;
}

// Without the API server's own token volume, whose random name would be a difference between any two pods.
function pod(image: string, network: string): string {
  return `\
apiVersion: v1
kind: Pod
metadata:
  name: report
  labels:
    app: report
spec:
  serviceAccountName: report
  automountServiceAccountToken: false
${network}  containers:
    - name: report
      image: ${image}
`;
}

function podWithStaticSecret(image: string): string {
  return `\
apiVersion: v1
kind: Pod
metadata:
  name: old-habit
spec:
  serviceAccountName: report
  imagePullSecrets:
    - name: regcred
  containers:
    - name: report
      image: ${image}
`;
}

// No kubelet stands behind it: enough for the scheduler to bind pods, and no more.
const NODE = `\
apiVersion: v1
kind: Node
metadata:
  name: ${NODE_NAME}
status:
  capacity: { cpu: "8", memory: 16Gi, pods: "110" }
  allocatable: { cpu: "8", memory: 16Gi, pods: "110" }
  conditions:
    - { type: Ready, status: "True", reason: Pretended, message: a node on paper }
`;
