/*
 * A model process that misbehaves as its input says: `x` is 0 (answer), 1 (crash), 2 (never end),
 * 3 (take memory without end), 4 (take half a second), 5 (not even take the input).
 * Its model is a tensor model with one number.
 */
const MIB = 1024 ** 2;
const hoard = [];

const numbersOf = (input) => input.inputs.value.map(({ data }) => data[0]);

process.on('message', (message) => {
  if (message.type === 'load') {
    if (message.settings.manifest.options.never_ready !== true)
      process.send({ type: 'ready', checkedFiles: [] });
    return;
  }
  const wanted = message.inputs.flatMap(numbersOf);
  if (wanted.includes(5)) return;
  process.send({ type: 'taken' });
  if (wanted.includes(1)) process.kill(process.pid, 'SIGSEGV');
  if (wanted.includes(2)) for (;;) Math.sqrt(2);
  if (wanted.includes(3)) for (;;) hoard.push(Buffer.alloc(8 * MIB, 1));
  const output = Buffer.from(JSON.stringify({ process: process.pid }));
  const outcomes = message.inputs.map(() => ({
    status: 'succeeded',
    output,
    mediaType: 'application/json',
    files: [],
  }));
  const tokens = message.inputs.map(() => null);
  const answer = () => process.send({ type: 'done', outcomes, tokens, inferenceMs: 1 });
  if (wanted.includes(4)) setTimeout(answer, 500);
  else answer();
});
process.on('disconnect', () => process.exit(0));
