// The generated parts of docs/registries.md and of a page for each family below it: what the code knows of a registry family,
// its example as it stands, and those that cannot be.
import { readFileSync } from 'node:fs';
import { parseAllDocuments } from 'yaml';
import { familyTrusts } from '../src/cli/trust/family-trusts.ts';
import { impossibleKinds } from '../src/core/impossible-registries.ts';
import type { ParameterGrammar } from '../src/core/registry-family.ts';
import { families } from '../src/registry/families.ts';
import type { RegistryFamily } from '../src/registry/registry-family.ts';
import { code, plain, table } from './markdown.ts';

type Parts = Readonly<Record<string, () => string>>;

export const registryParts: Parts = { families: familyIndex, impossible: impossibleTable };

/** The parts of each family's page, by its kind. */
export const familyParts: Readonly<Record<string, Parts>> = Object.fromEntries(
  Object.entries(families).map(([kind, family]) => [
    kind,
    { [`example ${kind}`]: () => exampleOf(kind), [`family ${kind}`]: () => familyTables(kind, family) },
  ]),
);

function familyIndex(): string {
  const rows = Object.entries<RegistryFamily>(families).map(([kind, { hosts, longestLife }]) => [
    `[${titleOf(kind)}](registries/${kind}.md)`,
    code(kind),
    hosts ? listed(hosts.patterns.slice(0, 2)) + (hosts.patterns.length > 2 ? ' …' : '') : 'any',
    hoursOf(longestLife),
  ]);
  return table(['Registry', 'Written as `exchange.kind`', 'Hosts', 'Longest life that is believed'], rows);
}

const titleOf = (kind: string) =>
  /^# (.+)$/m.exec(readFileSync(new URL(`../docs/registries/${kind}.md`, import.meta.url), 'utf8'))?.[1] ??
  kind;

/** Rule and account as the example has them, without the comments that are its own. */
function exampleOf(kind: string): string {
  const read = (file: string) =>
    readFileSync(new URL(`../examples/${kind}/${file}`, import.meta.url), 'utf8');
  const block = (text: string) => `\`\`\`yaml\n${text.replaceAll(/^( *#.*|---)\n/gm, '').trim()}\n\`\`\`\n`;
  const account = parseAllDocuments(read('account.yaml')).find(
    (document) => document.get('kind') === 'ServiceAccount',
  );
  return `${block(read('config.yaml'))}\n${block(String(account))}`;
}

function familyTables(kind: string, family: RegistryFamily): string {
  const { hosts, endpoints, needsEndpoint, tokenSeconds, longestLife } = family;
  const own = needsEndpoint ? ', and the rule must say where' : '';
  const facts = table(
    ['', ''],
    [
      [code('exchange.kind'), code(kind)],
      [code('hosts'), hosts ? listed(hosts.patterns) : 'any that the rule names, whole'],
      ...(hosts?.registries ? [[code('registries'), `${hosts.registries}; needed beside a \`*\``]] : []),
      [code('exchange.endpoints'), endpoints.length > 0 ? `${listed(endpoints)}${own}` : 'none is called'],
      ['Longest life that is believed', hoursOf(longestLife)],
      ['ServiceAccount token', `${tokenSeconds / 60} minutes`],
      [
        'Trust set-up',
        listed(Object.keys(familyTrusts[kind as keyof typeof families].forms)), // kinds are the keys of both tables
      ],
    ],
  );
  const parameters = Object.entries(family.parameters);
  if (parameters.length === 0) return `${facts}\nIt has no parameters.\n`;
  const rows = parameters.map(([name, grammar]) => [
    code(name),
    meaningOf(grammar),
    plain(grammar.looksLike),
    listed(grammar.foreign ?? []),
  ]);
  return `${facts}\n${table(['Parameter', 'Meaning', 'Looks like', 'Other tools’ annotations'], rows)}`;
}

/** What a parameter means is Markdown already. */
function meaningOf({ means, isRequired, isPrincipal }: ParameterGrammar): string {
  const more = [
    ...(isRequired ? ['required'] : []),
    ...(isPrincipal ? ['the principal: several with commas'] : []),
  ];
  const text = means.replaceAll('|', String.raw`\|`);
  return more.length > 0 ? `${text} (${more.join('; ')})` : text;
}

function listed(texts: readonly string[]): string {
  return texts.map(code).join(', ');
}

function hoursOf(seconds: number): string {
  return seconds === 3600 ? '1 hour' : `${seconds / 3600} hours`;
}

function impossibleTable(): string {
  const kindsBySentence = Map.groupBy(Object.keys(impossibleKinds), (kind) => impossibleKinds[kind] ?? '');
  const rows = [...kindsBySentence].map(([sentence, kinds]) => [listed(kinds), plain(sentence)]);
  return table(['Written as `exchange.kind`', 'What is said'], rows);
}
