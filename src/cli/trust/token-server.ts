// The side of a registry that takes the ServiceAccount token itself: our token server's config, or zot's.
import { stringify } from 'yaml';
import type { FamilyTrust, Trust } from './trust.ts';

export const tokenServerTrust: FamilyTrust = {
  forms: { 'token-server': tokenServer, zot },
  notes: () => [
    'who has issuers and access already adds these entries to them',
    'an issuer whose own name leads nowhere from the registry: discoveryUrl; with a certificate of its own: certificateAuthorityFile',
    'the same for zot, which needs no token server: --format zot; for docker_auth: keyless-pull verify-token --config FILE',
  ],
};

/** A whole file of keyless-pull token-server; those of the registry and of its keys are for the administrator to name. */
function tokenServer({ issuer, audience, namespace, account, host }: Trust): string {
  return stringify({
    apiVersion: 'keyless-pull.dev/v1',
    kind: 'TokenServerConfig',
    registry: { service: host, issuer: 'keyless-pull' },
    signing: { keys: [{ keyFile: 'signing/key.pem', certificateFile: 'signing/chain.pem' }] },
    tls: { certificateFile: 'tls/tls.crt', keyFile: 'tls/tls.key' },
    issuers: [{ issuer, audience }],
    access: [
      {
        issuer,
        namespaces: [namespace],
        serviceAccounts: [account],
        repositories: ['{namespace}/**'],
        actions: ['pull'],
      },
    ],
  });
}

/** https://zotregistry.dev/latest/articles/authn-authz/: the user of a token is its issuer and subject. */
function zot({ issuer, audience, subject, namespace, host }: Trust): string {
  const config = {
    http: {
      auth: {
        bearer: {
          realm: `https://${host}/zot/auth/token`,
          service: host,
          oidc: [{ issuer, audiences: [audience] }],
        },
      },
      accessControl: {
        repositories: {
          [`${namespace}/**`]: { policies: [{ users: [`${issuer}/${subject}`], actions: ['read'] }] },
        },
      },
    },
  };
  return `${JSON.stringify(config, null, 2)}\n`;
}
