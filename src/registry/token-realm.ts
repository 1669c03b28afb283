// Docker Registry v2 token authentication with the ServiceAccount token as password, tried before it is used: a registry
// that does not trust the account says so here, and not to the kubelet. https://distribution.github.io/distribution/spec/auth/token/
import * as z from 'zod';
import { Problem } from '../problem.ts';
import { challengesOf } from './challenge.ts';
import { member, type Refusal } from './refusal.ts';
import type { RegistryFamily } from './registry-family.ts';

const refusal: Refusal = {
  codeOf: (body) => member(body, 'errors', 0, 'code'),
  cures: {
    UNAUTHORIZED: "the token server must trust this cluster's issuer, the rule's audience and this account",
  },
};

/** Some registries name no service; their realms know without it. */
const Challenge = z.object({
  realm: z.url({ protocol: /^https$/ }),
  service: z.string().max(255).optional(),
});

export const tokenRealm: RegistryFamily = {
  parameters: {},
  endpoints: ['registry', 'realm'],
  receiver: 'host',
  tokenSeconds: 3600,
  keepsToken: true,
  longestLife: 3600,
  async exchange({ token, tokenIssuedAt, tokenExpiresAt, need, username, url, ask }) {
    const user = username ?? `${need.identity.namespace}/${need.identity.account}`;
    const registry = url('registry', `https://${need.host}`, '/v2/');
    const { data: challenge } = await ask({
      url: registry,
      alsoGood: [401],
      read: (_text, header) => challengesOf(header('www-authenticate') ?? '').get('bearer'),
      answer: Challenge,
      refusal,
    });
    const named = new URL(challenge.realm);
    const realm = url('realm', named.origin, named.pathname);
    // Where the token goes is the administrator's to say: a registry may send it to itself, and nowhere else. What the
    // rule does not say is read at both places alike only if they are one.
    if (realm.host !== url('realm', registry.origin, named.pathname).host) {
      throw new Problem(
        'exchange-refused',
        `${need.host} wants the token at another host: name it as exchange.endpoints.realm of rule ${need.rule} if it is to be trusted`,
      );
    }
    // As every client does it: what the realm brings along is kept.
    for (const [name, value] of named.searchParams) realm.searchParams.append(name, value);
    if (challenge.service !== undefined) realm.searchParams.set('service', challenge.service);
    realm.searchParams.set('account', user);
    await ask({ url: realm, basic: { username: user, password: token }, answer: z.object({}), refusal });
    return { username: user, password: token, issuedAt: tokenIssuedAt, expiresAt: [tokenExpiresAt] };
  },
};
