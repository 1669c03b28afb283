// What --set says of accounts: principals and other parameters that only a person knows, as annotations.
import { annotationsFor, faultOfValues, valuesOf } from '../../core/identity-parameters.ts';
import { API_GROUP, PREWARM_ANNOTATION } from '../../core/vocabulary.ts';
import { Problem } from '../../problem.ts';
import { nearestName } from '../../core/nearest-name.ts';
import type { RegistryRule } from '../../core/registry-rule.ts';

/** Annotations to set, by `namespace/account`. */
export type AccountWishes = ReadonlyMap<string, Readonly<Record<string, string>>>;

const WISH = /^([a-z0-9-]+)\/([a-z0-9.-]+):(?:([a-z0-9-]+)\.)?([a-z0-9-]+)=(.*)$/s;

/**
 * @param words `<namespace>/<account>:<parameter>=<value>`, or `…:<rule>.<parameter>=…` for one rule
 * @throws Problem usage for what is no such word, and for parameters, rules and values that no rule would read
 */
export function readAccountWishes(words: readonly string[], rules: readonly RegistryRule[]): AccountWishes {
  const wishes = new Map<string, Record<string, string>>();
  for (const word of words) {
    const [, namespace, account, ruleName, parameter = '', value = ''] = WISH.exec(word) ?? [];
    if (namespace === undefined || account === undefined)
      throw new Problem('usage', '--set takes NAMESPACE/ACCOUNT:PARAMETER=VALUE');
    const key = `${namespace}/${account}`;
    const annotation = annotationFor(ruleName, parameter, value, rules);
    wishes.set(key, { ...wishes.get(key), [annotation]: value });
  }
  return wishes;
}

function annotationFor(
  ruleName: string | undefined,
  parameter: string,
  value: string,
  rules: readonly RegistryRule[],
): string {
  const meant = rules.filter(({ name }) => ruleName === undefined || name === ruleName);
  if (meant.length === 0)
    throw unknownName(
      'rule',
      String(ruleName),
      rules.map(({ name }) => name),
    );
  if (parameter === 'prewarm') return prewarmFor(ruleName, value);
  const known = meant.filter((rule) => rule.parameters?.[parameter]?.from === 'annotation');
  const [first] = known;
  if (!first) {
    const names = meant.flatMap(({ parameters = {} }) =>
      Object.entries(parameters).flatMap(([name, { from }]) => (from === 'annotation' ? name : [])),
    );
    throw unknownName('parameter from annotations', parameter, names);
  }
  for (const { family } of known) {
    const grammar = family.parameters[parameter];
    const fault = grammar && faultOfValues(parameter, valuesOf(value, grammar), grammar);
    if (fault !== undefined) throw new Problem('usage', `--set: ${fault}`);
  }
  const [ofRule, ofAll] = annotationsFor(first.name, parameter);
  return ruleName === undefined ? ofAll : ofRule;
}

function prewarmFor(ruleName: string | undefined, value: string): string {
  if (value !== 'true') throw new Problem('usage', '--set: prewarm is true or not set');
  return ruleName === undefined ? PREWARM_ANNOTATION : `${ruleName}.${API_GROUP}/prewarm`;
}

function unknownName(what: string, name: string, known: readonly string[]): Problem {
  const nearest = nearestName(name, known);
  const hint = nearest === undefined ? '' : `: is ${nearest} meant?`;
  return new Problem('usage', `--set: the config has no ${what} ${name}${hint}`);
}
