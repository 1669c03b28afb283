// Edits in YAML and JSON text: what is asked for is changed, and every other byte stays.
import { describe, expect, test } from 'vitest';
import * as yaml from 'yaml';
import { changedText, type Change } from '../../../src/cli/migrate/file-changes.ts';

const removal = (...secrets: string[]): Change => ({
  kind: 'removal',
  document: 0,
  object: [],
  within: ['spec'],
  secrets,
});
const labels = (...entries: [string, string][]): Change => ({
  kind: 'entries',
  document: 0,
  object: [],
  member: 'labels',
  entries,
});
const INJECT: [string, string] = ['keyless-pull.dev/inject', 'enabled'];

function change(text: string, ...changes: Change[]) {
  const { edits: _edits, ...result } = changedText(
    text,
    yaml.parseAllDocuments(text) as yaml.Document[],
    changes,
  );
  return result;
}

describe('references', () => {
  test.each([
    [
      'a list of one goes with its key; comments around it stay',
      'spec:\n  # why\n  imagePullSecrets: # old\n    - name: nexus # since 2019\n  # next\n  containers: []\n',
      'spec:\n  # why\n  # next\n  containers: []\n',
    ],
    [
      'a list that is not indented',
      'spec:\n  imagePullSecrets:\n  - name: nexus\n  containers: []\n',
      'spec:\n  containers: []\n',
    ],
    [
      'one of several',
      'spec:\n  imagePullSecrets:\n    - name: keep\n    # about nexus\n    - name: nexus\n    - name: more\n',
      'spec:\n  imagePullSecrets:\n    - name: keep\n    # about nexus\n    - name: more\n',
    ],
    [
      'a list in brackets',
      'spec:\n  imagePullSecrets: [{ name: keep }, { name: nexus }, {name: more}]\n',
      'spec:\n  imagePullSecrets: [{ name: keep }, {name: more}]\n',
    ],
    [
      'the last in brackets',
      'spec:\n  imagePullSecrets: [{ name: keep }, { name: nexus }]\n',
      'spec:\n  imagePullSecrets: [{ name: keep }]\n',
    ],
    [
      'the last lines of a file without an end of line',
      'spec:\n  a: 1\n  imagePullSecrets:\n  - name: nexus',
      'spec:\n  a: 1\n',
    ],
    [
      'lines of Windows',
      'spec:\r\n  imagePullSecrets:\r\n    - name: nexus\r\n  a: 1\r\n',
      'spec:\r\n  a: 1\r\n',
    ],
    ['JSON of one line', '{"spec":{"imagePullSecrets":[{"name":"nexus"}],"a":1}}\n', '{"spec":{"a":1}}\n'],
    [
      'JSON of many lines, last in its object',
      '{\n  "spec": {\n    "a": 1,\n    "imagePullSecrets": [\n      {\n        "name": "nexus"\n      }\n    ]\n  }\n}\n',
      '{\n  "spec": {\n    "a": 1\n  }\n}\n',
    ],
    [
      'JSON with tabs',
      '{\n\t"spec": {\n\t\t"imagePullSecrets": [{"name": "nexus"}],\n\t\t"a": 1\n\t}\n}\n',
      '{\n\t"spec": {\n\t\t"a": 1\n\t}\n}\n',
    ],
    ['a spec in braces', 'spec: { imagePullSecrets: [{ name: nexus }], a: 1 } # x\n', 'spec: { a: 1 } # x\n'],
    [
      'twice in one list',
      'spec:\n  imagePullSecrets:\n  - name: nexus\n  - name: nexus\n  a: 1\n',
      'spec:\n  a: 1\n',
    ],
    [
      'a block scalar behind it stays as it is',
      'spec:\n  imagePullSecrets:\n    - name: nexus\n  script: |+\n    one\n\n---\nb: 2\n',
      'spec:\n  script: |+\n    one\n\n---\nb: 2\n',
    ],
  ])('%s', (_title, before, after) => {
    expect(change(before, removal('nexus'))).toEqual({ text: after, done: [removal('nexus')], byHand: [] });
  });

  test('first in an entry of a List, behind the dash', () => {
    const text = 'items:\n- imagePullSecrets:\n  - name: nexus\n  kind: ServiceAccount\n';
    const wish: Change = {
      kind: 'removal',
      document: 0,
      object: ['items', 0],
      within: [],
      secrets: ['nexus'],
    };

    expect(change(text, wish).text).toBe('items:\n- kind: ServiceAccount\n');
  });

  test.each([
    ['an alias', 'x: &pull\n  - name: nexus\nspec:\n  imagePullSecrets: *pull\n  a: 1\n'],
    ['an anchor', 'spec:\n  imagePullSecrets: &pull\n    - name: nexus\n  other: *pull\n'],
    [
      'a comment between brackets',
      'spec:\n  imagePullSecrets: [\n    { name: nexus }, # why\n    { name: keep }]\n',
    ],
    ['all that there is', 'spec:\n  imagePullSecrets:\n    - name: nexus\n'],
  ])('%s is left to a person', (_title, text) => {
    expect(change(text, removal('nexus'))).toEqual({ text, done: [], byHand: [removal('nexus')] });
  });
});

describe('labels', () => {
  test.each([
    [
      'a namespace without any',
      'kind: Namespace\nmetadata:\n  name: shop # ours\n# end\n',
      'kind: Namespace\nmetadata:\n  name: shop # ours\n  labels:\n    keyless-pull.dev/inject: enabled\n# end\n',
    ],
    [
      'behind those that are there, in their indentation',
      'metadata:\n    labels:\n        tier: prod\n    name: shop\n',
      'metadata:\n    labels:\n        tier: prod\n        keyless-pull.dev/inject: enabled\n    name: shop\n',
    ],
    [
      'in braces',
      'metadata: { name: shop, labels: { tier: prod } }\n',
      'metadata: { name: shop, labels: { tier: prod, keyless-pull.dev/inject: enabled } }\n',
    ],
    [
      'braces without labels',
      'metadata: { name: shop }\n',
      'metadata: { name: shop, labels: { keyless-pull.dev/inject: enabled } }\n',
    ],
    [
      'empty ones',
      'metadata:\n  labels: {} # none\n  name: shop\n',
      'metadata:\n  labels: { keyless-pull.dev/inject: enabled } # none\n  name: shop\n',
    ],
    [
      'a key without a value',
      'metadata:\n  labels: # none\n  name: shop\n',
      'metadata:\n  labels: { keyless-pull.dev/inject: enabled } # none\n  name: shop\n',
    ],
    [
      'another value is replaced',
      "metadata:\n  labels:\n    keyless-pull.dev/inject: 'disabled' # why\n",
      'metadata:\n  labels:\n    keyless-pull.dev/inject: enabled # why\n',
    ],
    [
      'JSON of one line',
      '{"metadata":{"name":"shop"}}',
      '{"metadata":{"name":"shop", "labels": { "keyless-pull.dev/inject": "enabled" }}}',
    ],
    [
      'JSON of many lines',
      '{\n  "metadata": {\n    "name": "shop"\n  }\n}\n',
      '{\n  "metadata": {\n    "name": "shop",\n    "labels": {\n      "keyless-pull.dev/inject": "enabled"\n    }\n  }\n}\n',
    ],
    [
      'JSON with tabs',
      '{\n\t"metadata": {\n\t\t"name": "shop"\n\t}\n}\n',
      '{\n\t"metadata": {\n\t\t"name": "shop",\n\t\t"labels": {\n\t\t\t"keyless-pull.dev/inject": "enabled"\n\t\t}\n\t}\n}\n',
    ],
    [
      'a file that ends without an end of line',
      'metadata:\n  name: shop',
      'metadata:\n  name: shop\n  labels:\n    keyless-pull.dev/inject: enabled\n',
    ],
    [
      'lines of Windows',
      'metadata:\r\n  name: shop\r\n',
      'metadata:\r\n  name: shop\r\n  labels:\r\n    keyless-pull.dev/inject: enabled\r\n',
    ],
  ])('%s', (_title, before, after) => {
    expect(change(before, labels(INJECT))).toEqual({ text: after, done: [labels(INJECT)], byHand: [] });
  });

  test.each([
    ['an alias', 'x: &all\n  a: b\nmetadata:\n  labels: *all\n'],
    ['a list', 'metadata:\n  labels: []\n'],
    ['no metadata', 'kind: Namespace\n'],
  ])('%s is left to a person', (_title, text) => {
    expect(change(text, labels(INJECT)).byHand).toHaveLength(1);
  });

  test('one that cannot be made keeps no other from being made', () => {
    const anchored = 'metadata:\n  name: a\nspec:\n  imagePullSecrets: &x [{ name: nexus }]\n  again: *x\n';

    const { text, done, byHand } = change(anchored, removal('nexus'), labels(INJECT));

    expect(text).toContain('  labels:\n    keyless-pull.dev/inject: enabled\nspec:\n  imagePullSecrets: &x');
    expect({ done, byHand }).toEqual({ done: [labels(INJECT)], byHand: [removal('nexus')] });
  });

  test('annotations that look like something else are quoted', () => {
    const text = 'metadata:\n  name: web\n';
    const wish: Change = {
      kind: 'entries',
      document: 0,
      object: [],
      member: 'annotations',
      entries: [
        ['keyless-pull.dev/role-arn', 'arn:aws:iam::1:role/a,arn:aws:iam::1:role/b'],
        ['keyless-pull.dev/prewarm', 'true'],
      ],
    };

    expect(change(text, wish).text).toBe(
      'metadata:\n  name: web\n  annotations:\n    keyless-pull.dev/role-arn: "arn:aws:iam::1:role/a,arn:aws:iam::1:role/b"\n    keyless-pull.dev/prewarm: "true"\n',
    );
  });
});
