// Image references after the grammar of distribution/reference: which registry host, which repository.
import { isProblem, Problem } from '../problem.ts';

export interface ImageReference {
  /** Lower case as written by the registry's rules, with its port if one is named: `registry.team.example:5000`. */
  readonly host: string;
  /** Without tag and digest; Docker Hub's single names carry `library/`. */
  readonly repository: string;
  readonly tag?: string;
  readonly digest?: string;
}

/** https://github.com/distribution/reference: reference.go (RepositoryNameTotalLengthMax; the host does not count) and regexp.go. */
const LONGEST_REPOSITORY = 255;
/** A DNS name (253), tag (128) and digest (algorithm and 128 hex digits) on top of the repository: longer text is refused unread. */
const LONGEST_REFERENCE = 1024;

const DOMAIN =
  /^(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])(?:\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))*(?::[0-9]+)?$/;
const IPV6_DOMAIN = /^\[[a-fA-F0-9:]+\](?::[0-9]+)?$/;
const COMPONENT = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const TAG = /^\w[\w.-]{0,127}$/;
const DIGEST = /^[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}$/;
const BARE_DIGEST = /^[a-f0-9]{64}$/;

/**
 * Splits an image reference as the kubelet does, Docker Hub's short names included (`nginx` is
 * `docker.io/library/nginx`, `index.docker.io` is `docker.io`).
 * @throws Problem `image-unparseable`, which quotes at most 80 characters of the text
 */
export function parseImageReference(text: string): ImageReference {
  const known = knownReferences.get(text);
  if (known) return known;
  const reference = parse(text);
  if (knownReferences.size >= MOST_KNOWN_REFERENCES) knownReferences.clear();
  knownReferences.set(text, reference);
  return reference;
}

/** The registry host of an image; undefined for what is no reference. */
export function hostOfImage(image: string): string | undefined {
  try {
    return parseImageReference(image).host;
  } catch (error) {
    if (!isProblem(error, 'image-unparseable')) throw error;
    return undefined;
  }
}

/** The same few images come with every pod; 5,000 of them are a few MB at most, and a flood of others costs one start anew. */
const MOST_KNOWN_REFERENCES = 5_000;
const knownReferences = new Map<string, ImageReference>();

function parse(text: string): ImageReference {
  if (text === '') throw new Problem('image-unparseable', 'the image reference is empty');
  if (text.length > LONGEST_REFERENCE)
    throw unparseable(text, `is longer than ${LONGEST_REFERENCE} characters`);
  if (BARE_DIGEST.test(text)) throw unparseable(text, 'is a bare image id; write a repository name');

  const [beforeDigest, digest] = splitAt(text, text.indexOf('@'));
  if (digest !== undefined && !DIGEST.test(digest)) throw unparseable(text, 'has a malformed digest');

  const slash = beforeDigest.lastIndexOf('/');
  const colon = beforeDigest.indexOf(':', slash + 1);
  const [name, tag] = splitAt(beforeDigest, colon);
  if (tag !== undefined && !TAG.test(tag)) throw unparseable(text, 'has a malformed tag');

  const { host, repository } = splitDomain(name);
  if (!DOMAIN.test(host) && !IPV6_DOMAIN.test(host))
    throw unparseable(text, 'names a malformed registry host');
  const components = repository.split('/');
  if (!components.every((component) => COMPONENT.test(component))) {
    const lower = repository !== repository.toLowerCase() ? ' (it must be lower case)' : '';
    throw unparseable(text, `has a malformed repository name${lower}`);
  }
  if (repository.length > LONGEST_REPOSITORY) {
    throw unparseable(text, `has a repository name longer than ${LONGEST_REPOSITORY} characters`);
  }
  return { host, repository, ...(tag !== undefined && { tag }), ...(digest !== undefined && { digest }) };
}

function splitDomain(name: string): { host: string; repository: string } {
  const slash = name.indexOf('/');
  const first = slash === -1 ? '' : name.slice(0, slash);
  const isDomain = /[.:]/.test(first) || first === 'localhost' || first !== first.toLowerCase();
  const host = isDomain ? first : 'docker.io';
  const rest = isDomain ? name.slice(slash + 1) : name;
  if (host !== 'docker.io' && host !== 'index.docker.io') return { host, repository: rest };
  return { host: 'docker.io', repository: rest.includes('/') ? rest : `library/${rest}` };
}

function splitAt(text: string, index: number): [string, string | undefined] {
  return index === -1 ? [text, undefined] : [text.slice(0, index), text.slice(index + 1)];
}

function unparseable(text: string, fault: string): Problem {
  const shown = text.length > 80 ? `${text.slice(0, 79)}…` : text;
  return new Problem('image-unparseable', `the image reference ${JSON.stringify(shown)} ${fault}`);
}
