// The token server's config file: its schema, and the faults that only two fields together can have.
import * as z from 'zod';
import type { Fault } from '../config.ts';
import { parseYaml, readText } from '../config.ts';
import { grantableActions } from './access-rules.ts';
import { repositoryPatternFault } from './repository-pattern.ts';
import { FilePath, HttpsUrl, TrustedIssuer } from './trusted-issuer.ts';

/** What goes into a quoted string of a header and into a claim as it is. */
const HeaderText = z
  .string()
  .regex(
    /^[!#-[\]-~]{1,255}$/,
    'printable ASCII without spaces, quotes and backslashes, 255 characters at most',
  );

const RegistrySection = z.strictObject({
  service: HeaderText.meta({ description: "as auth.token.service in the registry's own configuration" }),
  issuer: HeaderText.meta({ description: "as auth.token.issuer in the registry's own configuration" }),
  tokenSeconds: z
    .int()
    .min(60, 'clients take 60 seconds for the least that a token lives')
    .max(3600)
    .default(300)
    .meta({
      description:
        'how long a registry token lives; never longer than the ServiceAccount token, but at least 60',
    }),
});

const SigningKey = z.strictObject({
  keyFile: FilePath.meta({ description: 'PEM private key, ECDSA P-256' }),
  certificateFile: FilePath.meta({
    description:
      "PEM chain, the key's own certificate first; its root stands in the registry's rootcertbundle",
  }),
});

const Listen = z.strictObject({
  host: z.string().min(1).optional().meta({ description: 'address to listen on; absent: every address' }),
  port: z.int().min(0).max(65_535).default(5001).meta({ description: 'port to listen on; 0: any free one' }),
});

const Tls = z.strictObject({
  certificateFile: FilePath.meta({ description: 'PEM serving certificate with its chain' }),
  keyFile: FilePath.meta({ description: 'PEM private key of the serving certificate' }),
});

const NamePattern = z
  .string()
  .regex(
    /^[a-z0-9*](?:[a-z0-9.*-]{0,251}[a-z0-9*])?$/,
    'a name in lower case, "*" for any run of characters',
  );

const Access = z.strictObject({
  issuer: HttpsUrl.optional().meta({ description: 'one of issuers; absent: whichever is trusted' }),
  namespaces: z
    .array(NamePattern)
    .min(1)
    .meta({ description: 'names, "*" stands for any run of characters' }),
  serviceAccounts: z
    .array(NamePattern)
    .min(1)
    .default(['*'])
    .meta({ description: 'names, "*" stands for any run of characters' }),
  claims: z
    .record(z.string(), z.array(z.string()).min(1))
    .optional()
    .meta({ description: 'further claims that a token must carry' }),
  repositories: z
    .array(
      z.string().superRefine((pattern, check) => {
        const fault = repositoryPatternFault(pattern);
        if (fault !== undefined) check.addIssue({ code: 'custom', message: fault });
      }),
    )
    .min(1)
    .meta({
      description:
        'whole segments; "*" is one, "**" at the end one or more, {namespace} and {serviceAccount} the account\'s',
    }),
  actions: z
    .array(z.enum(grantableActions, 'an action is pull or push; "*" is never granted'))
    .min(1)
    .meta({ description: 'pull, push or both' }),
});

export const TokenServerConfig = z.strictObject({
  apiVersion: z.literal('keyless-pull.dev/v1'),
  kind: z.literal('TokenServerConfig'),
  registry: RegistrySection,
  signing: z.strictObject({
    keys: z.array(SigningKey).min(1).meta({ description: 'what registry tokens are signed with' }),
  }),
  listen: Listen.prefault({}),
  tls: Tls.optional().meta({ description: 'absent: plain HTTP, for a proxy in front that ends TLS' }),
  anyUser: z
    .boolean()
    .default(false)
    .meta({ description: 'accept any user name with a good token; otherwise only <namespace>/<account>' }),
  issuers: z
    .array(TrustedIssuer)
    .min(1)
    .meta({ description: 'clusters whose ServiceAccount tokens are accepted' }),
  access: z.array(Access).default([]).meta({ description: 'who may do what; what no rule allows is denied' }),
});
export type TokenServerConfig = z.output<typeof TokenServerConfig>;

/** @throws Problem `file-unreadable` or `config-invalid`, the latter with every fault as `file:line: path: sentence` */
export function loadTokenServerConfig(path: string): TokenServerConfig {
  return parseTokenServerConfig(readText(path), path);
}

/** `source` names the text in faults. @throws Problem `config-invalid` */
export function parseTokenServerConfig(text: string, source: string): TokenServerConfig {
  return parseYaml(TokenServerConfig, text, source, crossFaults);
}

/** What clusters commonly call their own API server, besides the issuer itself. */
const IN_CLUSTER_AUDIENCES = ['', '.cluster.local'].map(
  (domain) => `https://kubernetes.default.svc${domain}`,
);

const RawConfig = z
  .object({
    issuers: z.array(z.looseObject({}).catch({})).catch([]),
    access: z.array(z.looseObject({}).catch({})).catch([]),
    signing: z.object({ keys: z.array(z.unknown()).catch([]) }).catch({ keys: [] }),
  })
  .catch({ issuers: [], access: [], signing: { keys: [] } });

/** Rules that name an issuer nobody trusts, and the parts that this version only parses: refused by name, never ignored. */
function crossFaults(raw: unknown): Fault[] {
  const { issuers, access, signing } = RawConfig.parse(raw);
  const faults: Fault[] = [];
  const refuse = (path: readonly PropertyKey[], what: string) => {
    faults.push({ path, message: `${what} is not built in this version` });
  };
  if (issuers.length > 1) refuse(['issuers', 1], 'more than one issuer');
  for (const [at, trusted] of issuers.entries()) {
    if (trusted['check'] === 'tokenReview') refuse(['issuers', at, 'check'], 'check: tokenReview');
    if (
      trusted['audience'] === trusted['issuer'] ||
      IN_CLUSTER_AUDIENCES.includes(String(trusted['audience']))
    ) {
      faults.push({
        path: ['issuers', at, 'audience'],
        message:
          "this is the API server's own audience: such a password would open the cluster, choose one for the registry",
      });
    }
  }
  if (signing.keys.length > 1) refuse(['signing', 'keys', 1], 'more than one signing key');
  for (const [at, rule] of access.entries()) {
    if ('claims' in rule) refuse(['access', at, 'claims'], 'claims');
    if (
      typeof rule['issuer'] === 'string' &&
      !issuers.some((trusted) => trusted['issuer'] === rule['issuer'])
    ) {
      faults.push({ path: ['access', at, 'issuer'], message: 'no entry of issuers has this issuer' });
    }
  }
  return faults;
}
