// Texts of others in shell commands, Terraform and comments: whatever they hold, they stay inside of their quotes.

/** One word for a POSIX shell. */
export function shellQuoted(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}

/** The same, bare where that is safe: names, hosts, labels with their values. */
export function shellWord(text: string): string {
  return /^[A-Za-z0-9][A-Za-z0-9._/=:@,+-]*$/.test(text) ? text : shellQuoted(text);
}

/** A string of HCL's native syntax, without interpolation. https://github.com/hashicorp/hcl/blob/main/hclsyntax/spec.md#quoted-templates */
export function hclQuoted(text: string): string {
  // "$" and "%" begin templates. As escapes they are decoded only after templates have been looked for.
  const escaped = text
    .toWellFormed()
    .replaceAll(/["\\]/g, String.raw`\$&`)
    .replaceAll(/[$%\p{Cc}\u2028\u2029]/gu, unicode);
  return `"${escaped}"`;
}

function unicode(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

/** One line, whatever the text holds. */
export function comment(text: string): string {
  return `# ${text.replaceAll(/[\p{Cc}\u2028\u2029]/gu, '?')}`.trimEnd();
}

const VARIABLE = Symbol('variable of the shell');

/** A string that the shell puts in from its variable. */
interface ShellValue {
  readonly [VARIABLE]: string;
}

/** For `shellJson`. */
export function shellValue(variable: string): ShellValue {
  return { [VARIABLE]: variable };
}

/** JSON as one word of a shell, written as JSON.stringify writes it with two spaces. */
export function shellJson(value: unknown): string {
  let quoted = '';
  let literal = '';
  for (const piece of jsonPieces(value, '\n')) {
    if (typeof piece === 'string') literal += piece;
    else {
      quoted += `${shellQuoted(`${literal}"`)}"$${piece[VARIABLE]}"`;
      literal = '"';
    }
  }
  return quoted + shellQuoted(literal);
}

function* jsonPieces(value: unknown, line: string): Generator<string | ShellValue> {
  if (typeof value !== 'object' || value === null) return yield JSON.stringify(value);
  if (isShellValue(value)) return yield value;
  const isList = Array.isArray(value);
  const deeper = `${line}  `;
  yield isList ? '[' : '{';
  for (const [at, [key, member]] of Object.entries(value).entries()) {
    yield (at === 0 ? '' : ',') + deeper + (isList ? '' : `${JSON.stringify(key)}: `);
    yield* jsonPieces(member, deeper);
  }
  yield line + (isList ? ']' : '}');
}

function isShellValue(value: object): value is ShellValue {
  return VARIABLE in value;
}

/** A variable that must be set when the script runs, with the words that the shell says otherwise: ours, and plain ones. */
export function shellVariable(name: string, means: string): string {
  if (!/^[\w ,.-]+$/.test(means)) throw new TypeError(`not plain: ${means}`);
  return `: "\${${name}:?${means}}"\n`;
}

/** A variable that Terraform asks for; a sensitive one is shown in no plan. */
export function hclVariable(name: string, means: string, shown?: 'sensitive'): string {
  const hidden = shown ? '  sensitive   = true\n' : '';
  return `variable "${name}" {\n  type        = string\n  description = ${hclQuoted(means)}\n${hidden}}\n\n`;
}

/** A shell function `call`: curl with the token of that variable, which no process list shows. */
export function bearerCall(variable: string, header = 'Authorization: Bearer'): string {
  return `call() {
  printf 'header = "%s %s"\\n' '${header}' "$${variable}" | curl --silent --show-error --fail-with-body --config - "$@"
}
`;
}
