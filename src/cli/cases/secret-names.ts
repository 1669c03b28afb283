// `$name` in a case stands for the name of a managed Secret, which nobody writes by hand.
import { secretNameFor } from '../../core/pull-secret.ts';

/** By the word behind the dollar. */
export type SecretNames = ReadonlyMap<string, string>;

const OWN = 'builder team-registry registry.team.example:5000';

/** @param written `account rule host`, and a principal. @param hasOwn adds `$own`, of the rule that cases have by default */
export function secretNames(written: Readonly<Record<string, unknown>>, hasOwn: boolean): SecretNames {
  const names = new Map<string, string>();
  for (const [word, value] of Object.entries({ ...(hasOwn && { own: OWN }), ...written })) {
    const [account, rule, host, principal = ''] = String(value).split(' ');
    if (account && rule && host) names.set(word, secretNameFor(account, rule, principal, host));
  }
  return names;
}

export function filledText(text: string, names: SecretNames): string {
  return text.replaceAll(/\$([a-z]+)/g, (whole, word: string) => names.get(word) ?? whole);
}

/** The other way round, in every text of a value: what `--update` writes is as portable as what a person writes. */
export function withWords(value: unknown, names: SecretNames): unknown {
  let text = JSON.stringify(value);
  for (const [word, name] of names) text = text.replaceAll(name, `$${word}`);
  return JSON.parse(text) as unknown;
}
