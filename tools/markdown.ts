// Markdown as the generated parts of the documentation need it.

/** Text that Markdown leaves as it is. */
export function plain(text: string): string {
  return text.replaceAll(/[\\`*_[\]|]/g, String.raw`\$&`).replaceAll('<', '&lt;');
}

/** Code in a cell of a table. */
export function code(text: string): string {
  return `\`${text.replaceAll('|', String.raw`\|`)}\``;
}

export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |\n`;
  return line(head) + line(head.map(() => '---')) + rows.map(line).join('');
}
