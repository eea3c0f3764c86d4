/** Tells systemd how the agent is (sd_notify(3)); quiet where nobody asked to be told. */

/** Sends a state; a no-op without `NOTIFY_SOCKET`. */
export type Notify = (state: string) => void;

/**
 * Keeps systemd's watchdog quiet as long as the JavaScript thread turns.
 * @returns a function that stops it
 */
export function startWatchdog(notify: Notify, env: NodeJS.ProcessEnv): () => void {
  const usec = Number(env['WATCHDOG_USEC'] ?? 0);
  const isForUs = env['WATCHDOG_PID'] === undefined || Number(env['WATCHDOG_PID']) === process.pid;
  if (!isForUs || !(usec > 0)) return () => undefined;
  // sd_watchdog_enabled(3) recommends half the time.
  const timer = setInterval(() => notify('WATCHDOG=1'), usec / 2000);
  return () => clearInterval(timer);
}
