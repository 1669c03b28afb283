// ServiceAccount tokens that a registry must refuse, each good but for one thing.
import type { TokenWishes } from '../fakes/fake-issuer.ts';

export const wrongTokens = {
  'for another audience': { claims: { aud: ['https://other.example'] } },
  'of another account': { claims: { sub: 'system:serviceaccount:team-b:builder' } },
  'of another issuer': { claims: { iss: 'https://elsewhere.example' } },
  'that has expired': { claims: { exp: 1_700_000_000 } },
  'of a key that nobody knows': { header: { kid: 'nobody' } },
} as const satisfies Record<string, TokenWishes>;

export type WrongToken = keyof typeof wrongTokens;

/** A year in which nothing that is issued now should still be good. */
export const YEAR_2126 = Date.parse('2126-01-01T00:00:00Z');
