// What a step sends, as text that stays secret: forms, JSON, and the Authorization header.
import { SecretText } from '../secret-text.ts';
import type { RequestFields, Step } from './registry-family.ts';

type Sent = Pick<Step<never>, 'form' | 'json' | 'body' | 'bearer' | 'basic' | 'headers' | 'method'>;

export interface EncodedRequest {
  readonly method: 'GET' | 'POST';
  readonly headers: RequestFields;
  readonly body: string | SecretText;
}

export function encodeRequest({ form, json, body, bearer, basic, headers, method }: Sent): EncodedRequest {
  const encoded = form
    ? { body: encodeForm(form), type: 'application/x-www-form-urlencoded' }
    : json
      ? { body: encodeJson(json), type: 'application/json' }
      : { body: body ?? '', type: undefined };
  const authorization = bearer
    ? new SecretText(`Bearer ${bearer.reveal()}`)
    : basic && encodeBasic(basic.username, basic.password);
  const hasBody = form !== undefined || json !== undefined || body !== undefined;
  return {
    method: method ?? (hasBody ? 'POST' : 'GET'),
    headers: { accept: 'application/json', 'content-type': encoded.type, authorization, ...headers },
    body: encoded.body,
  };
}

function encodeForm(fields: RequestFields): SecretText {
  const form = new URLSearchParams();
  for (const [name, value] of Object.entries(fields)) {
    if (value !== undefined) form.append(name, value instanceof SecretText ? value.reveal() : value);
  }
  return new SecretText(form.toString());
}

/** A replacer sees what `toJSON` made of a value; the value itself is still in its holder. */
function encodeJson(value: unknown): SecretText {
  return new SecretText(
    JSON.stringify(value, function (this: Record<string, unknown>, key, shown: unknown) {
      const original = this[key];
      return original instanceof SecretText ? original.reveal() : shown;
    }),
  );
}

/** RFC 7617: everything up to the first colon is the user, so a user has none. */
function encodeBasic(username: string, password: SecretText): SecretText {
  return new SecretText(`Basic ${Buffer.from(`${username}:${password.reveal()}`).toString('base64')}`);
}
