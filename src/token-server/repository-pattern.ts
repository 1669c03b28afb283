// The two pattern languages of access rules: account names with "*" in them, and repositories by whole segments.

/** Whose access is asked for: the two names that patterns may speak of. */
export interface AccountNames {
  readonly namespace: string;
  readonly serviceAccount: string;
}

/** A path component of `distribution/reference`. */
export const REPOSITORY_COMPONENT = /^[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*$/;

/** The one segment that may hold a colon: a registry host with its port, in front of a repository. */
export const HOST_WITH_PORT = /^[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?:[0-9]{1,5}$/;

/**
 * What is wrong with a repository pattern, as a sentence; undefined when nothing is. A pattern is segments joined by
 * "/". A segment is a literal, `{namespace}`, `{serviceAccount}`, `*` for exactly one segment, or, at the end only,
 * `**` for one segment or more. A placeholder is a whole segment, because `{namespace}-cache` of the namespace "a"
 * and `{namespace}` of "a-cache" would be the same repository.
 */
export function repositoryPatternFault(pattern: string): string | undefined {
  const segments = pattern.split('/');
  for (const [at, segment] of segments.entries()) {
    if (segment === '') return 'a repository pattern has no empty segment, and no "/" at either end';
    if (segment === '**' && at < segments.length - 1) return '"**" may only be the last segment';
    if (isWildcard(segment) || isPlaceholder(segment)) continue;
    if (/[*{}]/.test(segment)) {
      return '"*", "**", "{namespace}" and "{serviceAccount}" each stand for whole segments';
    }
    if (at === 0 && segments.length > 1 && HOST_WITH_PORT.test(segment)) continue;
    if (!REPOSITORY_COMPONENT.test(segment)) {
      return 'a segment is lower case letters and digits, with ".", "_", "__" or "-" between them';
    }
  }
  return undefined;
}

/** Whether a pattern without faults covers the repository, for this account. */
export function matchesRepository(pattern: string, repository: string, account: AccountNames): boolean {
  const wanted = pattern.split('/');
  const given = repository.split('/');
  const open = wanted.at(-1) === '**';
  if (open ? given.length < wanted.length : given.length !== wanted.length) return false;
  return wanted.every((segment, at) => isWildcard(segment) || fillIn(segment, account) === given[at]);
}

/** Whether a name fits a pattern in which each `*` stands for any run of characters, also none. */
export function matchesName(pattern: string, name: string): boolean {
  const [prefix = '', ...rest] = pattern.split('*');
  const suffix = rest.pop();
  if (suffix === undefined) return name === pattern;
  if (!name.startsWith(prefix) || !name.endsWith(suffix)) return false;
  const end = name.length - suffix.length;
  let from = prefix.length;
  for (const part of rest) {
    const found = name.indexOf(part, from);
    if (found < 0) return false;
    from = found + part.length;
  }
  return from <= end;
}

function isWildcard(segment: string): boolean {
  return segment === '*' || segment === '**';
}

function isPlaceholder(segment: string): boolean {
  return segment === '{namespace}' || segment === '{serviceAccount}';
}

function fillIn(segment: string, account: AccountNames): string {
  if (segment === '{namespace}') return account.namespace;
  if (segment === '{serviceAccount}') return account.serviceAccount;
  return segment;
}
