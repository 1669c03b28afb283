// The chart's values: one schema, from which `npm run generate` writes values.yaml, values.schema.json and the table in the
// chart's README. What stands below `config` is the program's own schema.
import * as z from 'zod';
import { Config } from '../../src/config.ts';
import { logLevels } from '../../src/log-level.ts';

const text = z.string().default('');
const anyMap = z.record(z.string(), z.unknown()).default({});
const stringMap = z.record(z.string(), z.string()).default({});
const anyList = z.array(z.record(z.string(), z.unknown())).default([]);
const namespaceName = z.string().regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/);
const portNumber = z.int().min(1).max(65_535);

const quantities = z.record(z.string(), z.union([z.string(), z.number()])).default({});
const Resources = z.strictObject({
  requests: quantities.meta({ description: 'what is set aside for it' }),
  limits: quantities.meta({
    description: 'what it never gets more of; no limit of CPU, which would slow reviews',
  }),
});

const timeoutSeconds = z
  .int()
  .min(1)
  .max(30)
  .default(5)
  .meta({ description: 'how long the API server waits; our own deadline is one second' });

function webhookEntry(failurePolicy: 'Fail' | 'Ignore', description: string) {
  return z
    .strictObject({
      failurePolicy: z
        .enum(['Fail', 'Ignore'])
        .default(failurePolicy)
        .meta({ description: 'whether they are refused or let through while nobody answers' }),
      timeoutSeconds,
    })
    .prefault({})
    .meta({ description });
}

/** The config as values have it: the chart writes apiVersion and kind. */
const ConfigValues = z
  .strictObject({
    ...Config.shape,
    apiVersion: Config.shape.apiVersion.optional().meta({ description: 'written by the chart when absent' }),
    kind: Config.shape.kind.optional().meta({ description: 'written by the chart when absent' }),
  })
  .meta({
    description:
      'what the program reads, as docs/reference.md has it; a change is taken up within a minute or two, without a restart',
  });

export const ChartValues = z.strictObject({
  config: ConfigValues,
  global: z
    .record(z.string(), z.unknown())
    .optional()
    .meta({ description: 'what Helm hands to a subchart; not read' }),
  enabled: z
    .boolean()
    .optional()
    .meta({ description: 'for the condition of a chart that this one is part of; not read' }),
  image: z
    .strictObject({
      repository: z
        .string()
        .min(1)
        .default('keyless-pull')
        .meta({ description: 'where the image of keyless-pull is, with the registry' }),
      tag: text.meta({ description: "the chart's appVersion when empty" }),
      digest: z
        .string()
        .regex(/^(sha256:[0-9a-f]{64})?$/)
        .default('')
        .meta({ description: 'sha256:…; wins over the tag' }),
      pullPolicy: z
        .enum(['Always', 'IfNotPresent', 'Never'])
        .default('IfNotPresent')
        .meta({ description: 'when the kubelet pulls it' }),
    })
    .prefault({})
    .meta({ description: 'the image of keyless-pull itself' }),
  imagePullSecrets: z
    .array(z.strictObject({ name: z.string().min(1).meta({ description: 'a Secret in our namespace' }) }))
    .default([])
    .meta({
      description:
        'for that image alone, as [{ name: … }]: our namespace is exempt from our policy, for we cannot pull for ourselves',
    }),
  roles: z.enum(['together', 'split']).default('together').meta({
    description:
      'webhook and worker in one process, or as two Deployments with an account and the rights of their own',
  }),
  replicas: z.int().min(1).max(100).default(2).meta({
    description: 'processes that answer reviews; with roles together one of them is the worker too',
  }),
  workerReplicas: z
    .int()
    .min(1)
    .max(100)
    .default(2)
    .meta({ description: 'with roles split: one works, the others take over' }),
  resources: Resources.prefault({
    requests: { cpu: '100m', memory: '192Mi' },
    limits: { memory: '512Mi' },
  }).meta({ description: 'of each process' }),
  workerResources: z
    .union([z.strictObject({}), Resources])
    .default({})
    .meta({ description: 'of the worker with roles split; as resources when empty' }),
  logLevel: z.enum(logLevels).default('info').meta({ description: 'what is logged' }),
  priorityClassName: z.string().default('system-cluster-critical').meta({
    description:
      'of our pods; for a system-* class the chart adds the ResourceQuota without which GKE refuses it outside kube-system; "" for none',
  }),
  podDisruptionBudget: z
    .strictObject({
      enabled: z.boolean().default(true).meta({ description: 'whether there is one' }),
      maxUnavailable: z
        .union([z.int().min(0), z.string().regex(/^(100|[0-9]{1,2})%$/)])
        .default(1)
        .meta({ description: 'how many may be away' }),
    })
    .prefault({})
    .meta({ description: 'a drained node must not take all replicas along' }),
  topologySpreadConstraints: z
    .array(z.record(z.string(), z.unknown()))
    .default([{ maxSkew: 1, topologyKey: 'kubernetes.io/hostname', whenUnsatisfiable: 'ScheduleAnyway' }])
    .meta({ description: 'how our pods are spread; each gets our labelSelector where it has none' }),
  nodeSelector: stringMap.meta({ description: 'labels that the nodes of our pods must have' }),
  tolerations: anyList.meta({ description: 'taints of nodes that our pods put up with' }),
  affinity: anyMap.meta({ description: 'affinity of our pods' }),
  strategy: anyMap.meta({ description: "the Deployments' strategy; Kubernetes' own when empty" }),
  terminationGracePeriodSeconds: z
    .int()
    .min(20)
    .max(3600)
    .default(30)
    .meta({ description: 'draining takes up to 17 seconds, docs/operations.md' }),
  hostNetwork: z.boolean().default(false).meta({
    description:
      'for clusters whose API server cannot reach pods (EKS with another CNI); choose free ports, and no namespace with Pod Security above privileged',
  }),
  ports: z
    .strictObject({
      https: portNumber
        .default(8443)
        .meta({ description: 'what the API server reaches through the Service' }),
      metrics: portNumber.default(9090).meta({ description: '/metrics and the probes, in plain HTTP' }),
    })
    .prefault({})
    .meta({ description: 'where the processes listen' }),
  podSecurityContext: z
    .record(z.string(), z.unknown())
    .default({
      runAsNonRoot: true,
      runAsUser: 65_532,
      runAsGroup: 65_532,
      fsGroup: 65_532,
      seccompProfile: { type: 'RuntimeDefault' },
    })
    .meta({
      description: 'of our pods; OpenShift chooses ids of its own, so set the three of them to null there',
    }),
  securityContext: z
    .record(z.string(), z.unknown())
    .default({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    })
    .meta({ description: 'of our containers' }),
  labels: stringMap.meta({ description: 'on every object of the chart' }),
  podLabels: stringMap.meta({ description: 'on our pods' }),
  podAnnotations: stringMap.meta({ description: 'on our pods' }),
  serviceAccountAnnotations: stringMap.meta({ description: 'on our ServiceAccounts' }),
  extraArgs: z.array(z.string()).default([]).meta({ description: 'further flags of keyless-pull serve' }),
  extraEnv: anyList.meta({ description: 'further environment, as in a container' }),
  extraVolumes: anyList.meta({
    description: 'further volumes, for example one with what certificateAuthorityFile of a rule names',
  }),
  extraVolumeMounts: anyList.meta({ description: 'where they are mounted' }),
  proxy: z
    .strictObject({
      httpsProxy: text.meta({ description: 'HTTPS_PROXY, for the exchanges with registries and clouds' }),
      noProxy: text.meta({ description: 'NO_PROXY: hosts that are reached without it' }),
    })
    .prefault({})
    .meta({ description: 'how the worker gets out' }),
  extraCertificateAuthority: z
    .strictObject({
      configMap: text.meta({ description: 'name of a ConfigMap in our namespace; none when empty' }),
      key: z.string().min(1).default('ca.crt').meta({ description: 'its key with PEM certificates' }),
    })
    .prefault({})
    .meta({
      description:
        'authorities that are trusted besides the usual ones (NODE_EXTRA_CA_CERTS); read at the start alone, so restart after a change',
    }),
  tls: z
    .strictObject({
      mode: z.enum(['own', 'cert-manager', 'secret']).default('own').meta({
        description:
          'own: our own authority, rotated and put into caBundle by the worker; cert-manager: a Certificate; secret: a Secret of yours',
      }),
      secretName: z.string().min(1).default('keyless-pull-tls').meta({
        description: 'with mode secret: the Secret of type kubernetes.io/tls with your certificate',
      }),
      caBundle: z
        .string()
        .regex(/^$|-----BEGIN CERTIFICATE-----/)
        .default('')
        .meta({
          description:
            'with mode secret: PEM of the authority that signed it, for the webhook configurations',
        }),
      certManager: z
        .strictObject({
          issuerRef: anyMap.meta({
            description: 'an Issuer or ClusterIssuer of yours; when empty the chart makes an authority',
          }),
          duration: z.string().default('2160h').meta({ description: 'life of the certificate' }),
          renewBefore: z
            .string()
            .default('720h')
            .meta({ description: 'how long before its end it is renewed' }),
        })
        .prefault({})
        .meta({ description: 'with mode cert-manager' }),
    })
    .prefault({})
    .meta({ description: 'the certificate that the API server sees' }),
  webhooks: z
    .strictObject({
      mutate: webhookEntry(
        'Fail',
        'pods in namespaces that opted in; a pod admitted without its reference never pulls',
      ),
      enforce: webhookEntry(
        'Fail',
        'pods in namespaces with mode enforce; with Ignore the policy can be waited out',
      ),
      warn: webhookEntry('Ignore', 'pods in namespaces with mode warn'),
      audit: webhookEntry('Ignore', 'pods in namespaces with mode audit'),
      default: webhookEntry('Ignore', 'pods in namespaces without a mode, or with a misspelt one'),
      accountsAndWorkloads: z.strictObject({ timeoutSeconds }).prefault({}).meta({
        description: 'always Ignore: a new namespace must get its default account whatever happens',
      }),
      annotations: stringMap.meta({ description: 'on the two webhook configurations' }),
      labels: stringMap.meta({
        description: 'on them too; AKS leaves alone what has admissions.enforcer/disabled: "true"',
      }),
    })
    .prefault({})
    .meta({ description: 'what the API server asks us, and what it does while we are away' }),
  excludedNamespaces: z.array(namespaceName).default([]).meta({
    description:
      "namespaces that the API server never asks us about, whatever their labels say; Kubernetes' own and ours always are",
  }),
  fences: z
    .strictObject({
      enabled: z.boolean().default(true).meta({
        description:
          "ValidatingAdmissionPolicies around the worker's rights; without them config.fences must be optional",
      }),
      namespaceLabels: z
        .boolean()
        .default(false)
        .meta({ description: 'who may change our labels on namespaces: docs/policy.md' }),
    })
    .prefault({})
    .meta({ description: 'what nobody may do, the worker included' }),
  rbac: z
    .strictObject({
      create: z.boolean().default(true).meta({ description: 'roles and bindings' }),
      perNamespace: z
        .boolean()
        .default(false)
        .meta({ description: "the worker's writing rights in single namespaces instead of in all" }),
      namespaces: z
        .array(namespaceName)
        .default([])
        .meta({ description: 'with perNamespace: where it gets them; these must exist' }),
      aggregate: z
        .boolean()
        .default(true)
        .meta({ description: 'who may view, edit or admin a namespace sees its PullCredentials' }),
    })
    .prefault({})
    .meta({ description: 'who may do what' }),
  crd: z
    .strictObject({
      install: z.boolean().default(true).meta({
        description: 'PullCredential, updated with the chart and kept when it is uninstalled',
      }),
    })
    .prefault({})
    .meta({ description: 'the custom resource' }),
  networkPolicy: z
    .strictObject({
      enabled: z.boolean().default(true).meta({ description: 'whether there is one' }),
      metricsFrom: anyList.meta({
        description: 'who may scrape, as peers of a NetworkPolicy; everybody when empty',
      }),
      egress: anyList.meta({
        description:
          'what our pods may reach, as egress rules; everything when empty. They need DNS, the API server, and what the rules exchange with',
      }),
    })
    .prefault({})
    .meta({
      description:
        'lets in what is for the two ports, the webhook from everywhere: an API server has no label',
    }),
  serviceMonitor: z
    .strictObject({
      enabled: z.boolean().default(false).meta({ description: 'whether there is one' }),
      interval: z.string().default('30s').meta({ description: 'how often' }),
      labels: stringMap.meta({ description: 'by which a Prometheus finds it' }),
    })
    .prefault({})
    .meta({ description: 'for the Prometheus operator: how we are scraped' }),
  prometheusRule: z
    .strictObject({
      enabled: z.boolean().default(false).meta({ description: 'whether there is one' }),
      labels: stringMap.meta({ description: 'by which a Prometheus finds it' }),
    })
    .prefault({})
    .meta({ description: 'for the Prometheus operator: our alerts' }),
  dashboard: z
    .strictObject({
      enabled: z.boolean().default(false).meta({ description: 'whether there is one' }),
      labels: z
        .record(z.string(), z.string())
        .default({ grafana_dashboard: '1' })
        .meta({ description: "by which Grafana's sidecar finds it" }),
      annotations: stringMap.meta({ description: 'such as the folder that it is shown in' }),
    })
    .prefault({})
    .meta({ description: 'our Grafana dashboard, as a ConfigMap' }),
});
