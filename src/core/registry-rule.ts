// One rule of the config: its schema, and which registry hosts it speaks of.
import * as z from 'zod';
import { exchangeSchema, Parameter } from './rule-exchange.ts';
import { Subject, subjectMatches } from './rule-subject.ts';
import { FENCE_PROBE_AUDIENCE } from './vocabulary.ts';
import { partsOf, type FamilyFacts } from './registry-family.ts';

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

const fields = z.strictObject({
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
      expirationSeconds: z.int().min(600).max(3600).optional().meta({
        description:
          'life of the ServiceAccount token; default 3600 in pods and where the credential is the token, else 600',
      }),
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

/** The schema of a rule over the families that there are. */
export function registryRule<Family extends FamilyFacts>(families: Readonly<Record<string, Family>>) {
  return fields
    .extend({
      exchange: exchangeSchema(Object.keys(families)).meta({ description: 'how the credential is made' }),
    })
    .transform((rule) => {
      const family = families[rule.exchange.kind];
      if (!family) throw new TypeError('the schema lets no other kind pass');
      return { ...rule, family };
    });
}

/** A rule as the config has it, with the family that its exchange is of. */
export type RegistryRule = z.output<ReturnType<typeof registryRule<FamilyFacts>>>;

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

/** True if a token may be sent on behalf of images at this host: named by the rule, its family's, and on the allow-list. */
export function servesHost(rule: RegistryRule, host: string): boolean {
  return rule.hosts.some((pattern) => hostMatches(pattern, host)) && isAllowed(rule, host);
}

function isAllowed(rule: RegistryRule, host: string): boolean {
  const parts = partsOf(rule, host);
  if (!parts) return false;
  // A host of a family that names owners, and yet has none, is the family's own.
  const { registry } = parts;
  return !rule.registries || registry === undefined || rule.registries.includes(registry);
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
      if (wins && isAllowed(rule, host) && mayUse(rule)) best = found;
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

/** True if the rule still speaks of this host for this account: what it issued for them is renewed. */
export function ruleCovers(
  rule: RegistryRule,
  { host, account }: { readonly host: string; readonly account: string },
  namespaceLabels: Readonly<Record<string, string>>,
): boolean {
  return servesHost(rule, host) && ruleSpeaksOf(rule, account, namespaceLabels);
}

function splitPort(host: string): [string, string] {
  const colon = host.lastIndexOf(':');
  const bracket = host.lastIndexOf(']');
  return colon > bracket ? [host.slice(0, colon), host.slice(colon + 1)] : [host, ''];
}
