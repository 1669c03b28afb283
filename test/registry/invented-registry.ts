// Two registries that nobody has, written as any family is: `shelf` takes the token in one POST and hands out a password
// (shape A), `drawer` takes it as a Basic password (shape E). What one file and one line in a table can do, the tests say.
import * as z from 'zod';
import { partsBy } from '../../src/core/registry-family.ts';
import { member, type Refusal } from '../../src/registry/refusal.ts';
import { path, type RegistryFamily } from '../../src/registry/registry-family.ts';
import { InstantAnswer, SecretAnswer } from '../../src/registry/secret-answer.ts';

const refusal: Refusal = {
  codeOf: (body) => member(body, 'problem', 'name'),
  classes: { 'not-known-yet': 'propagation', 'come-back-later': 'throttled', 'too-old': 'stale' },
  cures: { 'no-such-reader': 'the shelf needs a reader of this name' },
};

export const shelf: RegistryFamily = {
  hosts: {
    patterns: ['*.shelf.example'],
    partsOf: partsBy(/^(?<registry>[a-z][a-z0-9]{2,30})\.shelf\.example$/),
    registries: 'shelf names',
  },
  parameters: {
    reader: {
      means: 'the reader that the account becomes',
      pattern: /^[a-z]+-[0-9]{1,6}$/,
      looksLike: 'name-NUMBER',
      isRequired: true,
      isPrincipal: true,
      foreign: ['shelf.example/reader'],
    },
  },
  endpoints: ['api'],
  receiver: 'shelf',
  tokenSeconds: 600,
  longestLife: 6 * 3600,
  async exchange({ token, parts, parameters, url, ask }) {
    const { registry = '' } = parts;
    const { data, startedAt } = await ask({
      url: url('api', 'https://api.shelf.example', path`/v1/shelves/${registry}/readers`),
      json: { reader: parameters['reader'], proof: { kind: 'jwt', token } },
      answer: z.object({ key: SecretAnswer, seconds: z.number().positive(), until: InstantAnswer }),
      refusal,
    });
    return {
      username: parameters['reader'] ?? '',
      password: data.key,
      expiresAt: [startedAt + data.seconds * 1000, data.until],
    };
  },
};

export const drawer: RegistryFamily = {
  parameters: {},
  endpoints: ['api'],
  receiver: 'host',
  tokenSeconds: 600,
  longestLife: 3600,
  async exchange({ token, need, username = 'token', url, ask }) {
    const { data, startedAt } = await ask({
      url: url('api', `https://${need.host}`, '/open'),
      basic: { username, password: token },
      answer: z.object({ key: SecretAnswer, seconds: z.number().positive() }),
      refusal,
    });
    return { username, password: data.key, expiresAt: [startedAt + data.seconds * 1000] };
  },
};
