// The page's charts: bars in SVG, each with its number beside it, so that no colour has to be told from another.
import { markup, NOTHING, type Markup } from './markup.ts';

export interface Bar {
  readonly label: string;
  readonly parts: readonly { readonly kind: BarKind; readonly count: number }[];
}

export type BarKind = 'explicit' | 'inherited' | 'none' | 'ours' | 'accent';

/** More are not looked at one by one; the tables have them all. */
const MOST_BARS = 12;
const LONGEST_LABEL = 28;
const [WIDTH, ROW, LABEL, COUNT] = [480, 24, 200, 44];

/** @param bars the longest first; nothing is drawn where there is none */
export function barChart(
  title: string,
  bars: readonly Bar[],
  legend: Readonly<Partial<Record<BarKind, string>>>,
): Markup {
  if (bars.length === 0) return NOTHING;
  const shown = bars.slice(0, MOST_BARS);
  const most = Math.max(1, ...shown.map(sumOf));
  const rest = bars.length - shown.length;
  const spoken = shown.map((bar) => `${bar.label}: ${sumOf(bar)}`).join(', ');
  return markup`<figure class="chart">
    <h3>${title}</h3>
    <svg viewBox="0 0 ${WIDTH} ${shown.length * ROW}" role="img" aria-label="${`${title}. ${spoken}`}">
      ${shown.map((bar, at) => barOf(bar, at * ROW, most))}
    </svg>
    ${rest > 0 ? markup`<p class="soft">and ${rest} more</p>` : NOTHING} ${legendOf(legend)}
  </figure> `;
}

function barOf(bar: Bar, top: number, most: number): Markup {
  const room = WIDTH - LABEL - COUNT;
  const scale = room / most;
  let from = LABEL;
  const parts = bar.parts
    .filter(({ count }) => count > 0)
    .map(({ kind, count }) => {
      const width = count * scale;
      const part = markup`<rect
        class="fill-${kind}"
        x="${rounded(from)}"
        y="${top + 5}"
        width="${rounded(Math.max(width, 1))}"
        height="14"
      />`;
      from += width;
      return part;
    });
  const label = bar.label.length > LONGEST_LABEL ? `${bar.label.slice(0, LONGEST_LABEL - 1)}…` : bar.label;
  return markup`<g
    ><title>${`${bar.label}: ${sumOf(bar)}`}</title>
    <text x="${LABEL - 8}" y="${top + 16}" text-anchor="end">${label}</text>
    <rect class="track" x="${LABEL}" y="${top + 5}" width="${room}" height="14" />${parts}
    <text class="count" x="${WIDTH - COUNT + 8}" y="${top + 16}">${sumOf(bar)}</text></g
  > `;
}

function legendOf(legend: Readonly<Partial<Record<BarKind, string>>>): Markup {
  const entries = Object.entries(legend);
  if (entries.length === 0) return NOTHING;
  return markup`<ul class="legend">
    ${entries.map(
      ([kind, text]) =>
        markup`<li>
          <svg viewBox="0 0 10 10" aria-hidden="true">
            <rect class="fill-${kind}" width="10" height="10" rx="2" /></svg
          >${text}
        </li>`,
    )}
  </ul>`;
}

function sumOf({ parts }: Bar): number {
  return parts.reduce((sum, { count }) => sum + count, 0);
}

function rounded(length: number): number {
  return Math.round(length * 10) / 10;
}
