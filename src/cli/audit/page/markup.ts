// HTML that cannot be broken out of: whatever is put into a template is escaped, unless a template made it.
import { printable } from '../../printable.ts';

/** Text that is HTML already. */
export interface Markup {
  readonly html: string;
}

type Part = string | number | Markup | readonly Markup[];

/** `markup\`<p>${name}</p>\``: strings and numbers are escaped for text and for quoted attributes, markup and lists of it are not. */
export function markup(texts: TemplateStringsArray, ...parts: readonly Part[]): Markup {
  const html = texts.reduce((all, text, at) => all + textOfPart(parts[at - 1] ?? '') + text);
  return { html };
}

/** For what is known to be HTML: our own style and script. */
export function trusted(html: string): Markup {
  return { html };
}

export const NOTHING: Markup = { html: '' };

function textOfPart(part: Part): string {
  if (typeof part === 'number') return String(part);
  if (typeof part === 'string') return escaped(part);
  if ('html' in part) return part.html;
  return part.map(({ html }) => html).join('');
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

function escaped(text: string): string {
  return printable(text).replaceAll(/[&<>"']/g, (one) => ENTITIES[one] ?? '');
}
