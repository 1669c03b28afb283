// Annotations and images are written by tenants: none of their text decides where a token goes. Every key that can set a
// parameter is tried with every hostile value: it is refused when the pod is planned, or the requests are those of a good
// value but for that one value in its one place.
import { describe, expect, test } from 'vitest';
import { annotationsFor, principalsOf } from '../../src/core/identity-parameters.ts';
import { needFor } from '../../src/core/pull-plan.ts';
import { SecretText } from '../../src/secret-text.ts';
import { families } from '../../src/registry/families.ts';
import { path } from '../../src/registry/registry-family.ts';
import { identityOf } from '../fakes/builders.ts';
import { plannedFor, requestsOf, ruleOf, stages, type FamilyStage } from './family-stages.ts';
import { hostileTexts } from './hostile-texts.ts';
import { ACCOUNT } from './set-up.ts';
import type { HttpRequest } from '../../src/registry/http-call.ts';

const kinds = Object.keys(families);
const stageOf = (kind: string): FamilyStage => stages[kind] ?? { host: '', goes: [], good: {} };
const annotationsOf = (good: Readonly<Record<string, string>>) =>
  Object.fromEntries(Object.entries(good).map(([key, value]) => [`keyless-pull.dev/${key}`, value]));

const parameters = kinds.flatMap((kind) => {
  const known = Object.entries(families[kind as keyof typeof families].parameters);
  return known.map(([key]) => ({ kind, key }));
});

describe('the stage of every family', () => {
  test.for(kinds)('%s has a good value for every parameter, and goes where it should', async (kind) => {
    const stage = stageOf(kind);
    const rule = ruleOf(kind, stage);

    const requests = await requestsOf(plannedFor(rule, annotationsOf(stage.good)));

    expect(Object.keys(stage.good).sort()).toEqual(Object.keys(rule.family.parameters).sort());
    expect(requests.map(({ url }) => url.host)).toEqual(stage.goes);
  });
});

describe('a part of a path', () => {
  test.for(hostileTexts('good').filter((text) => !['.', '..'].includes(text)))(
    'stays one part: %j',
    (text) => {
      const { pathname, search, hash, host } = new URL(`https://registry.example${path`/a/${text}/b`}`);

      expect([host, search, hash]).toEqual(['registry.example', '', '']);
      expect(pathname.split('/').length).toBe(4);
      expect(decodeURIComponent(pathname.split('/')[2] ?? '')).toBe(text);
    },
  );

  test.for(['', '.', '..'])('is not what would climb: %j', (text) => {
    expect(() => path`/a/${text}/b`).toThrow('a path part is empty or climbs');
  });
});

describe('hostile text in an annotation', () => {
  test('is of many kinds', () => {
    expect(new Set(hostileTexts('good')).size).toBeGreaterThan(80);
  });

  test.for(parameters)(
    'decides nothing but $key of $kind, whichever annotation it stands in',
    async ({ kind, key }) => {
      const stage = stageOf(kind);
      const rule = ruleOf(kind, stage);
      const good = stage.good[key] ?? '';
      const baseline = await requestsOf(plannedFor(rule, annotationsOf(stage.good)));
      const { [key]: _replaced, ...rest } = stage.good;
      const foreign = rule.family.parameters[key]?.foreign ?? [];

      for (const annotation of [...annotationsFor(rule.name, key), ...foreign]) {
        for (const text of hostileTexts(good)) {
          const annotations = { ...annotationsOf(rest), [annotation]: text };
          const { principals, faults } = principalsOf(rule, { ...ACCOUNT, annotations }, stage.host);
          expect(principals.length === 0).toBe(faults.length > 0);
          if (text.length > 3 && /[^\w./:-]/.test(text)) expect(faults.join()).not.toContain(text.trim());
          for (const principal of principals) {
            const need = needFor(identityOf(ACCOUNT), rule, stage.host, principal);
            const requests = await requestsOf({ need, rule, principal });
            const value = principal.parameters[key] ?? '';
            expect(requests.map(placeOf)).toEqual(
              baseline.map((request) => moved(placeOf(request), good, value)),
            );
          }
        }
      }
    },
  );
});

/** All of a request that a text could break out into: destination, path, and the names of everything that is sent. */
function placeOf({ url, method, headers, body }: HttpRequest) {
  const text = body instanceof SecretText ? body.reveal() : body;
  const isForm = headers['content-type'] === 'application/x-www-form-urlencoded';
  const sent = Object.entries(headers).map(([name, value]) => [
    name,
    value instanceof SecretText ? value.reveal() : (value ?? ''),
  ]);
  return {
    method,
    origin: url.origin,
    login: `${url.username}:${url.password}`,
    hash: url.hash,
    segments: url.pathname.split('/'),
    query: [...url.searchParams.keys()],
    headers: sent.map(([name]) => name),
    brokenHeaders: sent.filter(([name, value]) => /[^\t\x20-\x7E]/.test(`${name}${value}`)),
    fields: isForm ? [...new URLSearchParams(text).keys()] : fieldsOf(text),
  };
}

function fieldsOf(text: string): string[] {
  return text.startsWith('{') ? Object.keys(JSON.parse(text) as object) : [text];
}

/** The value may stand in one segment, encoded, where the good one stood. */
function moved(place: ReturnType<typeof placeOf>, good: string, value: string) {
  const [from, to] = [encodeURIComponent(good), encodeURIComponent(value)];
  return { ...place, segments: place.segments.map((segment) => segment.replace(from, () => to)) };
}
