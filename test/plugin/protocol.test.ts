// The plugin's side of the protocol: what is read of any text, and that no text of it is ever repeated.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { answerText, parseRequest, PROTOCOL } from '../../src/plugin/protocol.ts';
import { isProblem } from '../../src/problem.ts';
import { SecretText } from '../../src/secret-text.ts';

const SECRET = 'eyJhbGciOiJSUzI1NiJ9.very-secret.signature';

/** The refusal, of which nothing of the text was found; undefined: it was read. */
function refusalOf(text: string): string | undefined {
  try {
    parseRequest(text);
    return undefined;
  } catch (error) {
    if (!isProblem(error, 'request-malformed')) throw error;
    expect(error.message).not.toContain('very-secret');
    expect(error.message).not.toMatch(/\p{Cc}/u);
    return error.message;
  }
}

const good = fc.record(
  {
    apiVersion: fc.constant(PROTOCOL),
    kind: fc.constant('CredentialProviderRequest'),
    image: fc.string({ minLength: 1, maxLength: 200 }),
    serviceAccountToken: fc.constant(SECRET),
    serviceAccountAnnotations: fc.dictionary(
      fc.string().filter((key) => key !== '__proto__'),
      fc.string(),
    ),
  },
  { requiredKeys: ['apiVersion', 'kind', 'image'] },
);

test('every request of the protocol is read, with all that it says', () => {
  fc.assert(
    fc.property(good, (request) => {
      const { image, token, annotations } = parseRequest(JSON.stringify(request));
      expect(image).toBe(request.image);
      expect(token === undefined).toBe(request.serviceAccountToken === undefined);
      expect(annotations).toEqual({ ...request.serviceAccountAnnotations });
      expect(JSON.stringify({ token })).not.toContain('very-secret');
    }),
  );
});

test('any text at all is read or refused with one sentence', () => {
  fc.assert(fc.property(fc.oneof(fc.string(), fc.json()), (text) => void refusalOf(text)));
});

test('one member of another kind, or one more, and the request is refused', () => {
  const change = fc.constantFrom(
    'apiVersion',
    'kind',
    'image',
    'serviceAccountToken',
    'serviceAccountAnnotations',
  );
  const wrong = fc.oneof(
    fc.constantFrom(0, true, [SECRET], [[]], ''),
    fc.dictionary(fc.string({ minLength: 1 }), fc.constant([SECRET]), { minKeys: 1 }),
  );
  fc.assert(
    fc.property(good, change, wrong, (request, key, value) => {
      // No token and an empty one are alike.
      fc.pre(!(key === 'serviceAccountToken' && value === ''));
      expect(refusalOf(JSON.stringify({ ...request, [key]: value }))).toBeDefined();
    }),
  );
  fc.assert(
    fc.property(good, fc.string({ minLength: 1 }), (request, key) => {
      fc.pre(!Object.hasOwn(request, key) && !/^(serviceAccount|__proto__$)/.test(key));
      expect(refusalOf(JSON.stringify({ ...request, [key]: SECRET }))).toBeDefined();
    }),
  );
});

test('an answer is one line of JSON that has the very password, whatever stands in it', () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), fc.nat(), (username, password, cacheSeconds) => {
      const auth = { 'reg.example': { username, password: new SecretText(password) } };
      const text = answerText({ cacheKeyType: 'Registry', cacheSeconds, auth });
      expect(text.indexOf('\n')).toBe(text.length - 1);
      expect(JSON.parse(text)).toEqual({
        apiVersion: PROTOCOL,
        kind: 'CredentialProviderResponse',
        cacheKeyType: 'Registry',
        cacheDuration: `${cacheSeconds}s`,
        auth: { 'reg.example': { username, password } },
      });
    }),
  );
});
