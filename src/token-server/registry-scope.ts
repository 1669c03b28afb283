// The scope grammar of the registry's token authentication: text in, plain data out. Nothing is granted here.
import { Problem } from '../problem.ts';
import { HOST_WITH_PORT, REPOSITORY_COMPONENT } from './repository-pattern.ts';

/**
 * One thing a client asks for or a token grants: `type[(class)]:name:action[,action]`. It has the shape of an entry of
 * the registry token's `access` claim (distribution, "Token Authentication Specification").
 */
export interface RegistryScope {
  readonly type: string;
  readonly class?: string;
  readonly name: string;
  /** As asked, without repetitions; may be empty. */
  readonly actions: readonly string[];
}

/** A multi-repository client asks for two or three; whatever asks for more is not a registry client. */
const MOST_SCOPES = 64;

/** distribution's own bound on a repository name. */
const LONGEST_NAME = 255;

const TYPE = /^([a-z0-9]+)(?:\(([a-z0-9]+)\))?$/;
const ACTION = /^(?:\*|[a-z][a-z0-9_-]{0,63})$/;

/** Lower case only: a token that somebody pasted into the wrong field does not get through, not even into a log. */
const OTHER_NAME = /^[a-z0-9][a-z0-9._:/-]*$/;

/**
 * Reads every `scope` parameter of a request, each holding one or more scopes separated by spaces. Scopes for the same
 * thing are merged, in the order asked. No scope at all is a login check and gives an empty list.
 * @throws Problem `scope-malformed`; the sentence never repeats what was sent
 */
export function parseScopes(parameters: readonly string[]): RegistryScope[] {
  const texts = parameters.flatMap((parameter) => parameter.split(' ')).filter((text) => text !== '');
  if (texts.length > MOST_SCOPES) throw malformed(`more than ${MOST_SCOPES} scopes were asked for`);
  const merged = new Map<string, RegistryScope>();
  for (const text of texts) {
    const scope = parseScope(text);
    const key = `${typeText(scope)}:${scope.name}`;
    const actions = [...new Set([...(merged.get(key)?.actions ?? []), ...scope.actions])];
    merged.set(key, { ...scope, actions });
  }
  return [...merged.values()];
}

/** The scope as text, in the grammar that `parseScopes` reads. */
export function scopeText(scope: RegistryScope): string {
  return `${typeText(scope)}:${scope.name}:${scope.actions.join(',')}`;
}

function typeText(scope: RegistryScope): string {
  return scope.class === undefined ? scope.type : `${scope.type}(${scope.class})`;
}

function parseScope(text: string): RegistryScope {
  // The name may hold a colon of its own (host:port), so it is what lies between the first and the last.
  const first = text.indexOf(':');
  const last = text.lastIndexOf(':');
  if (first === last) throw malformed('a scope is written type:name:action,action');
  const [, type, ofClass] = TYPE.exec(text.slice(0, first)) ?? [];
  if (type === undefined) throw malformed('the type of a scope is lower case letters and digits');
  const name = text.slice(first + 1, last);
  if (!isName(type, name))
    throw malformed('the name in a scope does not follow the grammar of repository names');
  const list = text.slice(last + 1);
  const actions = list === '' ? [] : list.split(',');
  if (!actions.every((action) => ACTION.test(action)))
    throw malformed('an action in a scope is a word or "*"');
  return { type, ...(ofClass !== undefined && { class: ofClass }), name, actions: [...new Set(actions)] };
}

function isName(type: string, name: string): boolean {
  if (name.length > LONGEST_NAME) return false;
  if (type !== 'repository') return OTHER_NAME.test(name);
  const [head = '', ...path] = name.split('/');
  if (!REPOSITORY_COMPONENT.test(head) && !(path.length > 0 && HOST_WITH_PORT.test(head))) return false;
  return path.every((segment) => REPOSITORY_COMPONENT.test(segment));
}

function malformed(sentence: string): Problem {
  return new Problem('scope-malformed', sentence);
}
