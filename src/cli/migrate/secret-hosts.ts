// Which registry hosts a pull Secret opens, from its manifest: the hosts alone leave this file.
import { fieldsOf, textOf } from '../../core/fields.ts';
import { loginHost } from '../audit/secret-facts.ts';

/** Undefined where it cannot be known: sealed, encrypted, by pattern, or no pull Secret at all. */
export function hostsOfSecret(secret: Readonly<Record<string, unknown>>): string[] | undefined {
  const data = fieldsOf(secret['data']);
  const plain = fieldsOf(secret['stringData']);
  const read = (key: string) =>
    textOf(plain[key]) || Buffer.from(textOf(data[key]), 'base64').toString('utf8');
  const modern = keysOf(read('.dockerconfigjson'), 'auths');
  const keys = modern ?? keysOf(read('.dockercfg'));
  if (!keys || keys.length === 0 || keys.some((key) => key.includes('*'))) return undefined;
  const hosts = new Set(keys.flatMap((key) => loginHost(key)?.toLowerCase() ?? []));
  return hosts.size > 0 ? [...hosts] : undefined;
}

function keysOf(text: string, member?: string): string[] | undefined {
  try {
    const parsed = fieldsOf(JSON.parse(text));
    return Object.keys(fieldsOf(member === undefined ? parsed : parsed[member]));
  } catch {
    return undefined;
  }
}
