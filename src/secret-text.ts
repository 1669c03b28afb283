// A string that cannot be printed by accident: templates, JSON, console, pino and spread show a placeholder or nothing.
import { inspect } from 'node:util';

const PLACEHOLDER = '[secret]';

export class SecretText {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  /** The text itself. The house test lists the files that may call this. */
  reveal(): string {
    return this.#text;
  }

  toString(): string {
    return PLACEHOLDER;
  }

  toJSON(): string {
    return PLACEHOLDER;
  }

  [inspect.custom](): string {
    return PLACEHOLDER;
  }
}
