// The side of a registry that takes the ServiceAccount token itself: our token server's config, or zot's.
import { stringify } from 'yaml';
import { hclQuoted, hclVariable, shellQuoted } from './quoting.ts';
import type { FamilyTrust, Trust } from './trust.ts';

export const tokenServerTrust: FamilyTrust = {
  forms: { 'token-server': tokenServer, zot, terraform, commands },
  notes: () => [
    'who has issuers and access already adds these entries to them',
    'an issuer whose own name leads nowhere from the registry: discoveryUrl; with a certificate of its own: certificateAuthorityFile',
    'the same for zot, which needs no token server: --format zot; for docker_auth: keyless-pull verify-token --config FILE',
  ],
};

/** A whole file of keyless-pull token-server; those of the registry and of its keys are for the administrator to name. */
function tokenServer(trust: Trust): string {
  return stringify(configFor(trust));
}

function configFor({ issuer, audience, namespace, account, host }: Trust) {
  return {
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
  };
}

/** The ConfigMap that examples/token-server mounts; JSON is YAML too. */
function terraform(trust: Trust): string {
  return `# Needs the provider hashicorp/kubernetes, for the cluster of the token server.

${hclVariable('namespace', 'namespace of the token server')}resource "kubernetes_config_map_v1" "token_server" {
  metadata {
    name      = "token-server"
    namespace = var.namespace
  }
  data = {
    "token-server.yaml" = jsonencode(${hclValue(configFor(trust), '    ')})
  }
}
`;
}

/** Of plain names as keys, texts, lists and objects. */
function hclValue(value: unknown, indent: string): string {
  const deeper = `${indent}  `;
  if (Array.isArray(value))
    return `[\n${value.map((item) => `${deeper}${hclValue(item, deeper)},\n`).join('')}${indent}]`;
  if (typeof value !== 'object' || value === null) return hclQuoted(String(value));
  const members = Object.entries(value).map(([key, item]) => `${deeper}${key} = ${hclValue(item, deeper)}\n`);
  return `{\n${members.join('')}${indent}}`;
}

function commands(trust: Trust): string {
  return `# In the cluster and namespace of the token server; one that is there already is not replaced.
kubectl create configmap token-server --from-literal token-server.yaml=${shellQuoted(tokenServer(trust))}
`;
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
