// The token server's config file: its schema.
import * as z from 'zod';
import { parseYaml } from '../config.ts';
import { readText } from '../text-file.ts';
import { grantableActions } from './access-rules.ts';
import { claimPathFault } from './claim-condition.ts';
import { repositoryPatternFault } from './repository-pattern.ts';
import { tokenServerFaults } from './token-server-faults.ts';
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
  keyFile: FilePath.meta({ description: 'PEM private key, ECDSA P-256; read again when it changes' }),
  certificateFile: FilePath.meta({
    description:
      "PEM chain, the key's own certificate first; its root stands in the registry's rootcertbundle; read again when it changes",
  }),
});

const Signing = z.strictObject({
  keys: z.array(SigningKey).min(1).meta({
    description:
      'what registry tokens are signed with: by the first whose certificate is valid; the others wait for their time',
  }),
  header: z.enum(['x5c', 'kid']).default('x5c').meta({
    description:
      'how a registry token names its key: by its certificates, or by its id alone, for registries that have a jwks file and no rootcertbundle',
  }),
});

const Listen = z.strictObject({
  host: z.string().min(1).optional().meta({ description: 'address to listen on; absent: every address' }),
  port: z.int().min(0).max(65_535).default(5001).meta({ description: 'port to listen on; 0: any free one' }),
});

const Tls = z.strictObject({
  certificateFile: FilePath.meta({
    description: 'PEM serving certificate with its chain; read again when it changes',
  }),
  keyFile: FilePath.meta({ description: 'PEM private key of the serving certificate' }),
});

const NamePattern = z
  .string()
  .regex(
    /^[a-z0-9*](?:[a-z0-9.*-]{0,251}[a-z0-9*])?$/,
    'a name in lower case, "*" for any run of characters',
  );

/** Text in which `faultOf` finds nothing wrong. */
function faultless(faultOf: (text: string) => string | undefined) {
  return z.string().superRefine((text, check) => {
    const fault = faultOf(text);
    if (fault !== undefined) check.addIssue({ code: 'custom', message: fault });
  });
}

const Access = z.strictObject({
  issuer: HttpsUrl.optional().meta({
    description:
      'one of issuers; required where there are several, as each may have a namespace of that name',
  }),
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
    .record(faultless(claimPathFault), z.array(z.string().min(1)).min(1))
    .optional()
    .meta({
      description:
        'further claims that a token must carry, all of them: by path, such as kubernetes.io/node/name, the values that will do; "*" stands for any run of characters',
    }),
  repositories: z.array(faultless(repositoryPatternFault)).min(1).meta({
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
  signing: Signing,
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
  return parseYaml(TokenServerConfig, text, source, tokenServerFaults);
}
