// The config files of the two programs that the demo starts: keyless-pull, and its token server on the registry's side.
import { stringify } from 'yaml';

/** What the registry's tokens are for: the audience of the rule, and the one that the token server insists on. */
export const AUDIENCE = 'https://registry.demo.example';

/** What registry and token server call each other, in both their configurations. */
export const REGISTRY_SERVICE = 'registry.demo.example';
export const REGISTRY_TOKEN_ISSUER = 'token-server.demo.example';

export const RULE = 'demo';

/** Life of the ServiceAccount tokens, before and after the config changes; 600 is the least that Kubernetes gives. */
export const LONG_LIFE_SECONDS = 3600;
export const SHORT_LIFE_SECONDS = 600;

/** Whose images are pushed: an account of the cluster, too. */
export const BUILDER = { namespace: 'ci', name: 'builder' } as const;

/** For `keyless-pull serve`. */
export function serveConfig(registryHost: string, expirationSeconds: number): string {
  return stringify({
    apiVersion: 'keyless-pull.dev/v1',
    kind: 'Config',
    rules: [
      {
        name: RULE,
        hosts: [registryHost],
        audience: AUDIENCE,
        exchange: { kind: 'pass-through' },
        token: { expirationSeconds },
      },
    ],
  });
}

export interface TokenServerFiles {
  readonly certificateFile: string;
  readonly keyFile: string;
  readonly signingCertificateFile: string;
  readonly signingKeyFile: string;
  readonly clusterAuthorityFile: string;
}

/** For `keyless-pull token-server`: every account may pull what lies under its namespace's name, one may push. */
export function tokenServerConfig(issuer: string, port: number, files: TokenServerFiles): string {
  return stringify({
    apiVersion: 'keyless-pull.dev/v1',
    kind: 'TokenServerConfig',
    registry: { service: REGISTRY_SERVICE, issuer: REGISTRY_TOKEN_ISSUER },
    signing: { keys: [{ keyFile: files.signingKeyFile, certificateFile: files.signingCertificateFile }] },
    listen: { host: '127.0.0.1', port },
    tls: { certificateFile: files.certificateFile, keyFile: files.keyFile },
    issuers: [{ issuer, audience: AUDIENCE, certificateAuthorityFile: files.clusterAuthorityFile }],
    access: [
      { namespaces: ['*'], repositories: ['{namespace}/**'], actions: ['pull'] },
      {
        namespaces: [BUILDER.namespace],
        serviceAccounts: [BUILDER.name],
        repositories: ['**'],
        actions: ['pull', 'push'],
      },
    ],
  });
}
