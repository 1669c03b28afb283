// Registries that accept the ServiceAccount token itself as the password: our token server, zot, docker_auth.
import type { RegistryFamily } from './registry-family.ts';

/** No call at all: the token is the password, and lives as long. */
export const passThrough: RegistryFamily = {
  parameters: {},
  endpoints: [],
  receiver: 'host',
  tokenSeconds: 3600,
  keepsToken: true,
  longestLife: 3600,
  async exchange({ token, tokenIssuedAt, tokenExpiresAt, need, username }) {
    return {
      username: username ?? `${need.identity.namespace}/${need.identity.account}`,
      password: token,
      issuedAt: tokenIssuedAt,
      expiresAt: [tokenExpiresAt],
    };
  },
};
