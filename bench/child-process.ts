// Child processes of a bench, from both sides: the parent asks one thing at a time, the child answers, and it ends with
// its parent whatever ends that.
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** Nothing that is asked takes longer than a second or two. */
const LONGEST_ANSWER_MS = 60_000;

export interface Child extends AsyncDisposable {
  /** One question at a time. Rejects when the child ends or hangs instead. */
  ask<Answer>(question: unknown): Promise<Answer>;
}

/**
 * Starts a program with this very Node. What it prints on stdout goes to /dev/null, on stderr to ours.
 * @param program relative to this folder, such as `load/generator.ts`
 */
export function startChild(
  program: string,
  words: readonly string[],
  nodeOptions: readonly string[] = [],
): Child {
  const child = fork(fileURLToPath(new URL(program, import.meta.url)), words, {
    execPath: process.execPath,
    execArgv: [...nodeOptions],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const ended = new Promise<string>((resolve) => {
    child.once('exit', (code, signal) => resolve(`${program} ended with ${signal ?? `exit code ${code}`}`));
    child.once('error', ({ message }) => resolve(`${program} could not be started: ${message}`));
  });

  return {
    ask<Answer>(question: unknown) {
      const { promise, resolve, reject } = Promise.withResolvers<Answer>();
      const patience = setTimeout(
        () => reject(new Error(`${program} gave no answer in ${LONGEST_ANSWER_MS / 1000} s`)),
        LONGEST_ANSWER_MS,
      );
      child.once('message', (answer) => resolve(answer as Answer));
      void ended.then((how) => reject(new Error(how)));
      if (child.connected) child.send(question as object);
      return promise.finally(() => clearTimeout(patience));
    },
    async [Symbol.asyncDispose]() {
      if (child.connected) child.disconnect();
      await ended;
    },
  };
}

/** The child's side. An answer that rejects ends the child, and thereby the question. */
export function answerParent<Question>(answer: (question: Question) => Promise<unknown>): void {
  process.on('message', (question: Question) => {
    void answer(question).then((result) => process.send?.(result));
  });
  process.once('disconnect', () => process.exit());
}
