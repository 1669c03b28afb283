// Registries that accept the ServiceAccount token itself as the password: our token server, zot, docker_auth.
import type { Credential } from '../core/pull-credential.ts';
import type { ExchangeCall, ExchangeInput } from './exchange.ts';

/** No call at all: the token is the password, and lives as long. The user is `<namespace>/<account>` unless the rule says otherwise. */
export async function passThrough(_call: ExchangeCall, input: ExchangeInput): Promise<Credential> {
  const { need, rule } = input.planned;
  return {
    hosts: [need.host],
    username: rule.exchange.username ?? `${need.identity.namespace}/${need.identity.account}`,
    password: input.token,
    issuedAt: input.issuedAt,
    expiresAt: input.expiresAt,
  };
}
