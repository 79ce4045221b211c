import { resolveAddresses } from '../../../src/outbound/resolver.ts';

const never = new AbortController().signal;

test('this machine is known by its name, with or without a full stop', async () => {
  expect(await resolveAddresses('localhost', never)).toContain('127.0.0.1');
  expect(await resolveAddresses('LOCALHOST.', never)).toContain('127.0.0.1');
});

test('a name that nobody has is an error, and so is a question that is given up', async () => {
  const gone = AbortSignal.abort(new Error('given up'));

  await expect(resolveAddresses('nowhere.invalid', never)).rejects.toThrow(
    'DNS has no address of nowhere.invalid',
  );
  await expect(resolveAddresses('nowhere.invalid', gone)).rejects.toThrow('given up');
});
