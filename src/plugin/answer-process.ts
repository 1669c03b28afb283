// The plugin's process: its streams and its exit code.
import { readEnvironment } from '../config.ts';
import { systemClock } from '../clock.ts';
import { createExchange } from '../registry/exchange.ts';
import { createHttpCall } from '../registry/http-call.ts';
import { runPlugin } from './run-plugin.ts';
import { readInput, writeOutput } from './standard-streams.ts';

export async function answerProcess(): Promise<void> {
  const { proxy } = readEnvironment();
  const streams = {
    input: 0,
    output: 1,
    inputStream: () => process.stdin,
    outputStream: () => process.stdout,
  };
  process.exitCode = await runPlugin(process.argv.slice(2), {
    readStdin: (most) => readInput(streams, most),
    out: (text) => writeOutput(streams, text),
    err: (text) => process.stderr.write(text),
    clock: systemClock,
    exchange: createExchange({ http: createHttpCall(proxy) }),
  });
}
