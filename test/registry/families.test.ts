// What holds for every family of the table, whoever adds the next one.
import { execFileSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { families } from '../../src/registry/families.ts';
import type { RegistryFamily } from '../../src/registry/registry-family.ts';
import { isCovered } from '../../src/core/registry-family.ts';
import { SecretText } from '../../src/secret-text.ts';
import { passwordFor, plannedFor, ruleOf, stages } from './family-stages.ts';

describe.for(Object.entries<RegistryFamily>(families))('%s', ([kind, family]) => {
  test('is called, and calls its parameters and endpoints, as config keys are', () => {
    for (const name of [kind, ...Object.keys(family.parameters)])
      expect(name).toMatch(/^[a-z]+(?:-[a-z]+)*$/);
    for (const name of family.endpoints) expect(name).toMatch(/^[a-z]+$/);
  });

  test('takes no parameter that would end a header, a path or a line', () => {
    for (const { pattern, looksLike, means } of Object.values(family.parameters)) {
      expect(pattern.source).toMatch(/^\^.*\$$/);
      expect(pattern.global || pattern.sticky || pattern.multiline).toBe(false);
      for (const bad of ['', '\n', 'a\nb', 'a\r\nx: 1', '\0', '\u001B[31m', 'a\u2028b']) {
        expect(pattern.test(bad), `${pattern} takes ${JSON.stringify(bad)}`).toBe(false);
      }
      expect([looksLike, means]).not.toContain('');
    }
  });

  test('asks for tokens as the API server gives them, and believes no life of more than a day', () => {
    expect(family.tokenSeconds).toBeGreaterThanOrEqual(600);
    expect(family.tokenSeconds).toBeLessThanOrEqual(3600);
    expect(family.longestLife).toBeLessThanOrEqual(24 * 3600);
  });

  test('says whether the ServiceAccount token itself stays the password', async () => {
    const stage = stages[kind];
    if (!stage) throw new Error(`no stage for ${kind}`);
    const annotations = Object.entries(stage.good).map(([key, value]) => [`keyless-pull.dev/${key}`, value]);
    const planned = plannedFor(ruleOf(kind, stage), Object.fromEntries(annotations));
    const token = new SecretText('a.service.account-token');

    const password = await passwordFor(kind, planned, token);

    expect(password === token.reveal()).toBe(family.keepsToken ?? false);
  });

  test('has one principal at most, and covers its own patterns', () => {
    const principals = Object.values(family.parameters).filter(({ isPrincipal }) => isPrincipal);
    expect(principals.length).toBeLessThanOrEqual(1);
    const { hosts } = family;
    for (const pattern of hosts?.patterns ?? []) expect(hosts && isCovered(pattern, hosts)).toBe(true);
  });
});

test('no registry needs an SDK: zod and aws4fetch are all that is loaded of other packages', () => {
  const program = `
    import { registerHooks } from 'node:module';
    const packages = new Set();
    registerHooks({
      load(url, context, next) {
        const [, name] = /\\/node_modules\\/((?:@[^/]+\\/)?[^/]+)/.exec(url) ?? [];
        if (name) packages.add(name);
        return next(url, context);
      },
    });
    for (const name of ['families', 'exchange', 'http-call']) await import('./src/registry/' + name + '.ts');
    console.log([...packages].sort().join());
  `;
  const cwd = new URL('../..', import.meta.url);
  const loaded = execFileSync(process.execPath, ['--input-type=module', '--eval', program], {
    cwd,
    encoding: 'utf8',
  });

  expect(loaded.trim()).toBe('aws4fetch,zod');
});
