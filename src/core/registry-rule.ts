// One rule of the config: its schema, and which registry hosts it speaks of.
import * as z from 'zod';
import { Subject, subjectMatches } from './rule-subject.ts';
import { FENCE_PROBE_AUDIENCE } from './vocabulary.ts';

const DNS_LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const HOST_PATTERN =
  /^(?:\*|[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)(?:\.(?:\*|[a-z0-9](?:[a-z0-9-]*[a-z0-9])?))*(?::[0-9]{1,5})?$/;

export const HostPattern = z
  .string()
  .regex(
    HOST_PATTERN,
    'write a host in lower case, whole labels, "*" for one label, with ":port" if images name it; no scheme, no path',
  )
  .refine(
    (text) => /[.:]/.test(text) || text === 'localhost',
    'images cannot name this host: without a dot or a port it is a folder on docker.io',
  )
  .refine((text) => text !== 'index.docker.io', 'write docker.io: that is how images of either name are read')
  .meta({ description: 'registry host as images name it; "*" stands for one whole label' });

const Audience = z
  .string()
  .min(1, 'an empty audience would mint a token for the API server itself')
  .max(512)
  .regex(/^[^\s,]*$/, 'an audience has no spaces and no commas')
  .refine((text) => text !== FENCE_PROBE_AUDIENCE, 'this audience is reserved for the fence probe');

/** Families in the order of the documentation; those without `built` are refused by name until they exist. */
export const exchangeKinds = [
  'pass-through',
  'ecr',
  'ecr-public',
  'google',
  'acr',
  'token-exchange',
  'token-realm',
  'quay',
  'jfrog',
  'cloudsmith',
  'chainguard',
  'alibaba',
] as const;
export type ExchangeKind = (typeof exchangeKinds)[number];

const USERNAME = /^[^:\p{Cc}\s]{1,255}$/u;

const Exchange = z.strictObject({
  kind: z.enum(exchangeKinds).meta({ description: 'how a ServiceAccount token becomes a registry login' }),
  endpoint: z
    .url({ protocol: /^https$/, error: 'an endpoint is an https URL' })
    .optional()
    .meta({ description: "replaces the family's public endpoint" }),
  certificateAuthorityFile: z
    .string()
    .min(1)
    .optional()
    .meta({ description: 'PEM bundle that the endpoint is verified with' }),
  username: z
    .string()
    .regex(USERNAME, 'a username has no colon, no space and no control character')
    .optional()
    .meta({ description: 'what the registry is told as user; default <namespace>/<account>' }),
});

const Parameter = z.strictObject({
  from: z
    .enum(['annotation', 'rule'])
    .meta({ description: 'who sets it: the account by annotation, or this rule' }),
  value: z.string().optional().meta({ description: 'with from: rule' }),
  accept: z
    .array(z.string().min(1))
    .optional()
    .meta({ description: "other vocabularies' annotations that are read too" }),
});

export const RegistryRule = z.strictObject({
  name: z
    .string()
    .regex(DNS_LABEL, 'a rule name is a DNS label: lower case letters, digits and "-", 63 at most')
    .meta({ description: 'names the rule in annotations, records and metrics' }),
  hosts: z.array(HostPattern).min(1).meta({ description: 'registry hosts; the longest match wins' }),
  registries: z
    .array(z.string().min(1))
    .min(1)
    .optional()
    .meta({ description: 'allow-list for a wildcard cloud host: account ids, registry names, projects' }),
  audience: Audience.meta({ description: 'audience of the ServiceAccount token, exactly one' }),
  acceptAudiences: z
    .array(Audience)
    .optional()
    .meta({ description: 'further audiences that annotated accounts may keep during a migration' }),
  exchange: Exchange.meta({ description: 'how the credential is made' }),
  parameters: z
    .record(z.string().regex(DNS_LABEL, 'a parameter name is a DNS label'), Parameter)
    .optional()
    .meta({ description: 'what an account may set by annotation' }),
  delivery: z
    .array(z.enum(['secret', 'kubelet']))
    .min(1)
    .default(['secret'])
    .meta({ description: 'how the credential reaches the kubelet' }),
  audienceRights: z
    .enum(['volume', 'rbac'])
    .default('volume')
    .meta({ description: 'what authorises nodes to ask for the token under delivery kubelet' }),
  token: z
    .strictObject({
      inject: z
        .enum(['auto', 'none', 'volume', 'mount'])
        .default('auto')
        .meta({ description: 'the projected token volume; auto: where delivery has kubelet, or a pod asks' }),
      expirationSeconds: z
        .int()
        .min(600)
        .max(3600)
        .default(3600)
        .meta({ description: 'life of the ServiceAccount token' }),
    })
    .prefault({})
    .meta({ description: 'the ServiceAccount token' }),
  whenPending: z
    .enum(['gate', 'admit'])
    .default('gate')
    .meta({ description: 'hold the pod until its credential exists, or admit it at once' }),
  whenRefused: z
    .enum(['admit', 'deny'])
    .default('admit')
    .meta({ description: 'what to do while the registry refuses the account' }),
  inPod: z
    .array(z.enum(['token', 'docker-config']))
    .default([])
    .meta({ description: 'what pods may ask to have mounted' }),
  prewarm: z
    .boolean()
    .default(false)
    .meta({ description: 'credentials for annotated accounts before any pod asks' }),
  secretName: z
    .enum(['computed', 'annotation'])
    .default('computed')
    .meta({ description: 'where the Secret name comes from' }),
  subjects: z
    .array(Subject)
    .min(1)
    .optional()
    .meta({ description: 'which namespaces and accounts; absent: every opted-in pod' }),
});
export type RegistryRule = z.output<typeof RegistryRule>;

/** True if the pattern speaks of this host: same number of labels, `*` for exactly one, the same port or none in both. */
export function hostMatches(pattern: string, host: string): boolean {
  const [patternName, patternPort] = splitPort(pattern);
  const [name, port] = splitPort(host);
  if (patternPort !== port) return false;
  const wanted = patternName.split('.');
  const labels = name.split('.');
  return (
    wanted.length === labels.length &&
    wanted.every((label, at) => labels[at] !== '' && (label === '*' || label === labels[at]))
  );
}

/** The rule that speaks of the host for this subject: fewest wildcards first, then the longest pattern, then the config's order. */
export function ruleForHost(
  rules: readonly RegistryRule[],
  host: string,
  mayUse: (rule: RegistryRule) => boolean,
): RegistryRule | undefined {
  let best: { rule: RegistryRule; wildcards: number; length: number } | undefined;
  for (const rule of rules) {
    for (const pattern of rule.hosts) {
      if (!hostMatches(pattern, host)) continue;
      const found = { rule, wildcards: pattern.split('*').length - 1, length: pattern.length };
      const wins =
        !best ||
        found.wildcards < best.wildcards ||
        (found.wildcards === best.wildcards && found.length > best.length);
      if (wins && mayUse(rule)) best = found;
    }
  }
  return best?.rule;
}

/** True if the rule is meant for this account in a namespace with these labels. */
export function ruleSpeaksOf(
  rule: RegistryRule,
  account: string,
  namespaceLabels: Readonly<Record<string, string>>,
): boolean {
  return !rule.subjects || rule.subjects.some((subject) => subjectMatches(subject, account, namespaceLabels));
}

function splitPort(host: string): [string, string] {
  const colon = host.lastIndexOf(':');
  const bracket = host.lastIndexOf(']');
  return colon > bracket ? [host.slice(0, colon), host.slice(colon + 1)] : [host, ''];
}
