// The pod of 4 KB that the reviews are about: a ReplicaSet's, as the API server sends it to webhooks, with defaults and
// managed fields.

export const NAMESPACE = 'checkout';
export const ACCOUNT = 'payments';
export const HOST = 'registry.team.example:5000';

const TOKEN_MOUNT = {
  name: 'kube-api-access-x7k2p',
  readOnly: true,
  mountPath: '/var/run/secrets/kubernetes.io/serviceaccount',
};

function probe(path: string, periodSeconds: number) {
  return {
    httpGet: { path, port: 'http', scheme: 'HTTP' },
    timeoutSeconds: 1,
    periodSeconds,
    successThreshold: 1,
    failureThreshold: 3,
  };
}

function container(name: string, image: string, more: object) {
  return {
    name,
    image: `${HOST}/checkout/${image}`,
    terminationMessagePath: '/dev/termination-log',
    terminationMessagePolicy: 'File',
    imagePullPolicy: 'IfNotPresent',
    ...more,
  };
}

const SERVER = container('server', 'payments:2026.11.3', {
  ports: [
    { name: 'http', containerPort: 8080, protocol: 'TCP' },
    { name: 'metrics', containerPort: 9102, protocol: 'TCP' },
  ],
  env: [
    { name: 'POD_NAME', valueFrom: { fieldRef: { apiVersion: 'v1', fieldPath: 'metadata.name' } } },
    { name: 'LEDGER_URL', value: 'https://ledger.checkout.svc.cluster.local:8443/v2' },
    {
      name: 'DATABASE_PASSWORD',
      valueFrom: { secretKeyRef: { name: 'payments-database', key: 'password' } },
    },
    { name: 'OTEL_EXPORTER_OTLP_ENDPOINT', value: 'http://collector.observability:4317' },
  ],
  resources: { limits: { memory: '512Mi' }, requests: { cpu: '250m', memory: '512Mi' } },
  volumeMounts: [{ name: 'settings', readOnly: true, mountPath: '/etc/payments' }, TOKEN_MOUNT],
  livenessProbe: probe('/healthz', 10),
  readinessProbe: probe('/readyz', 5),
  securityContext: {
    capabilities: { drop: ['ALL'] },
    readOnlyRootFilesystem: true,
    allowPrivilegeEscalation: false,
  },
});

const METRICS_PROXY = container('metrics-proxy', 'metrics-proxy:1.18.0', {
  args: ['--upstream=http://127.0.0.1:9102', '--listen=:9443'],
  resources: { limits: { memory: '64Mi' }, requests: { cpu: '10m', memory: '64Mi' } },
  volumeMounts: [TOKEN_MOUNT],
});

/** As the ReplicaSet controller posts it and the API server fills it in; its images all lie on HOST. */
export const POD = {
  kind: 'Pod',
  apiVersion: 'v1',
  metadata: {
    generateName: 'payments-7d9c5b6f84-',
    namespace: NAMESPACE,
    creationTimestamp: null,
    labels: {
      'app.kubernetes.io/name': 'payments',
      'app.kubernetes.io/part-of': 'checkout',
      'pod-template-hash': '7d9c5b6f84',
    },
    annotations: { 'prometheus.io/scrape': 'true', 'prometheus.io/port': '9102' },
    ownerReferences: [
      {
        apiVersion: 'apps/v1',
        kind: 'ReplicaSet',
        name: 'payments-7d9c5b6f84',
        uid: '0b9a7c14-6a0e-4e0f-9d0c-6f3c1f8f2a77',
        controller: true,
        blockOwnerDeletion: true,
      },
    ],
    managedFields: [
      {
        manager: 'kube-controller-manager',
        operation: 'Update',
        apiVersion: 'v1',
        time: '2026-11-21T08:00:00Z',
        fieldsType: 'FieldsV1',
        fieldsV1: {
          'f:metadata': { 'f:generateName': {}, 'f:labels': { '.': {}, 'f:app.kubernetes.io/name': {} } },
          'f:spec': {
            'f:containers': {
              'k:{"name":"server"}': {
                '.': {},
                'f:image': {},
                'f:name': {},
                'f:ports': {},
                'f:resources': {},
              },
            },
            'f:serviceAccountName': {},
          },
        },
      },
    ],
  },
  spec: {
    volumes: [
      { name: 'settings', configMap: { name: 'payments-settings', defaultMode: 420 } },
      {
        name: TOKEN_MOUNT.name,
        projected: {
          sources: [
            { serviceAccountToken: { expirationSeconds: 3607, path: 'token' } },
            { configMap: { name: 'kube-root-ca.crt', items: [{ key: 'ca.crt', path: 'ca.crt' }] } },
          ],
          defaultMode: 420,
        },
      },
    ],
    initContainers: [
      container('migrate', 'payments-migrations:2026.11.3', {
        args: ['up'],
        resources: {},
        volumeMounts: [TOKEN_MOUNT],
      }),
    ],
    containers: [SERVER, METRICS_PROXY],
    restartPolicy: 'Always',
    terminationGracePeriodSeconds: 30,
    dnsPolicy: 'ClusterFirst',
    serviceAccountName: ACCOUNT,
    serviceAccount: ACCOUNT,
    securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
    schedulerName: 'default-scheduler',
    tolerations: ['not-ready', 'unreachable'].map((taint) => ({
      key: `node.kubernetes.io/${taint}`,
      operator: 'Exists',
      effect: 'NoExecute',
      tolerationSeconds: 300,
    })),
    priority: 0,
    enableServiceLinks: true,
    preemptionPolicy: 'PreemptLowerPriority',
  },
  status: {},
};
