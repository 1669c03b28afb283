// OAuth 2.0 token exchange (RFC 8693) at a token service of the administrator's own, and its two siblings: the JWT bearer
// grant and client credentials with a client assertion (both RFC 7523).
import * as z from 'zod';
import { jwtClaims } from './jwt-expiry.ts';
import { oauthRefusal } from './refusal.ts';
import { SecretAnswer } from './secret-answer.ts';
import type { RegistryFamily, RequestFields } from './registry-family.ts';

const grants = ['token-exchange', 'jwt-bearer', 'client-credentials'] as const;
const JWT_BEARER = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';

const VISIBLE = /^[\x21-\x7E](?:[\x20-\x7E]{0,1022}[\x21-\x7E])?$/;
const text = (means: string) => ({
  means,
  pattern: VISIBLE,
  looksLike: 'printable ASCII, 1,024 characters at most',
});

const Answer = z.object({
  access_token: SecretAnswer,
  // Some services write numbers in quotes.
  expires_in: z.coerce.number().positive().optional(),
});

export const tokenExchange: RegistryFamily = {
  parameters: {
    grant: {
      means: `one of ${grants.join(', ')}; default token-exchange`,
      pattern: new RegExp(`^(?:${grants.join('|')})$`),
      looksLike: grants.join(' or '),
    },
    audience: text('the `audience` that is asked for'),
    resource: {
      means: 'the `resource` that is asked for',
      pattern: /^[a-z][a-z0-9+.-]*:[\x21-\x7E]{1,1000}$/,
      looksLike: 'an absolute URI',
    },
    scope: text('the `scope` that is asked for'),
    'subject-token-type': text('default `urn:ietf:params:oauth:token-type:jwt`'),
    'requested-token-type': text('the type of token that is asked for; left out by default'),
    'client-id': {
      means: 'the `client_id`',
      pattern: /^[\x21-\x2B\x2D-\x7E]{1,512}$/,
      looksLike: 'printable ASCII without spaces and commas',
      isPrincipal: true,
    },
    'username-claim': text('the claim of the issued token that is the user name'),
    'lifetime-seconds': {
      isRulesAlone: true,
      means: 'how long an answer lives that does not say it itself',
      pattern: /^[1-9][0-9]{1,5}$/,
      looksLike: 'a number of seconds',
    },
  },
  endpoints: ['token'],
  needsEndpoint: true,
  receiver: 'endpoint',
  tokenSeconds: 600,
  longestLife: 24 * 3600,
  async exchange({ token, need, parameters, username, url, ask }) {
    const { data, startedAt } = await ask({
      url: url('token', '', ''),
      form: { ...formFor(parameters['grant'] ?? 'token-exchange', token, parameters) },
      answer: Answer,
      refusal: oauthRefusal,
    });
    const claims = jwtClaims(data.access_token);
    const claim = claims[parameters['username-claim'] ?? ''];
    // What is said counts, in the answer or in the token; the fallback is for those that say nothing.
    const fallback = claims['exp'] === undefined ? parameters['lifetime-seconds'] : undefined;
    const lifetime = data.expires_in ?? Number(fallback ?? NaN);
    return {
      username:
        typeof claim === 'string'
          ? claim
          : (username ?? `${need.identity.namespace}/${need.identity.account}`),
      password: data.access_token,
      expiresAt: Number.isNaN(lifetime) ? [] : [startedAt + lifetime * 1000],
    };
  },
};

function formFor(
  grant: string,
  token: RequestFields[string],
  parameters: Readonly<Record<string, string>>,
): RequestFields {
  const { audience, resource, scope } = parameters;
  const shared = { audience, resource, scope, client_id: parameters['client-id'] };
  switch (grant) {
    case 'jwt-bearer':
      return { grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', assertion: token, ...shared };
    case 'client-credentials':
      return {
        grant_type: 'client_credentials',
        client_assertion_type: JWT_BEARER,
        client_assertion: token,
        ...shared,
      };
    default:
      return {
        grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
        subject_token: token,
        subject_token_type: parameters['subject-token-type'] ?? 'urn:ietf:params:oauth:token-type:jwt',
        requested_token_type: parameters['requested-token-type'],
        ...shared,
      };
  }
}
