// What a token that the API server has made for us says of itself: read, not verified. Empty for what is no token.
import { fieldsOf, type Fields } from '../core/fields.ts';

export const headerOf = (token: string): Fields => partOf(token, 0);
export const claimsOf = (token: string): Fields => partOf(token, 1);

function partOf(token: string, at: 0 | 1): Fields {
  try {
    return fieldsOf(JSON.parse(Buffer.from(token.split('.')[at] ?? '', 'base64url').toString('utf8')));
  } catch {
    return {};
  }
}
